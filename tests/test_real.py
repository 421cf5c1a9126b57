"""Real networks on real photographs: the counts that plain torch and torchvision give.

The folder named by SENET_REAL_DATA holds 1,000 ImageNet photographs, one a class, and three small
networks with known truth. Without it these tests are skipped; nothing else can replace them. The
counts of SqueezeNet are held by test_real_evaluations.py, image by image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from db.enums import Precision
from db.models import Evaluation
from db.session import reading
from engine.build import job as build
from engine.classify.predict import Classifier
from engine.datasets.imagenet import wnid_to_index
from engine.datasets.label_files import LabelOptions
from engine.datasets.registration import check_folder, register
from engine.errors import LabelsMismatch
from engine.evaluation import job as evaluation
from engine.export import job as export
from engine.specs import BuildSpec, EvaluateSpec
from engine.store import artifacts
from tests.support.plain_torch import recorded_top5
from tests.support.real_photographs import counts, evaluated, se_network, spec_of
from tests.support.tiny import Quiet

pytestmark = pytest.mark.real

ZERO_TO_ONE = {"resize": 256, "crop": 224, "mean": [0, 0, 0], "std": [1, 1, 1]}


@pytest.fixture(scope="module")
def template_home(se_network_home: Path) -> Path:
    """The home with the SE network, in place of an empty one."""
    return se_network_home


def test_the_se_network_image_by_image_as_torch_has_it(
    url: str, tmp_path: Path, real_data: Path, photographs: str
) -> None:
    images = evaluated(url, tmp_path, se_network(real_data))
    expected = recorded_top5("se_network")
    labels = np.arange(1000)
    assert images.top is not None
    assert np.array_equal(images.label, labels), "one image a class, in the order of the wnids"
    assert np.array_equal(images.top[:, 0], expected[:, 0]), "the best class of every image"
    hits = expected == labels[:, None]
    assert np.array_equal(images.rank < 5, hits.any(axis=1))
    assert images.counts() == (int(hits[:, 0].sum()), int(hits.any(axis=1).sum())) == (803, 949)


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_fp32_gives_the_counts_of_onnx_runtime_in_every_other_one(
    url: str, tmp_path: Path, real_data: Path, photographs: str, runtime: str
) -> None:
    found = counts(url, tmp_path, se_network(real_data), runtime=runtime)
    assert found == (803, 949)


def test_int8_of_the_se_network_keeps_nearly_all(
    url: str, tmp_path: Path, real_data: Path, photographs: str
) -> None:
    top1, _ = counts(url, tmp_path, se_network(real_data), Precision.INT8)
    assert top1 >= 775, "785 to 800 by the images drawn; without equalization it keeps 359"


def test_the_foreign_file_once_its_background_class_is_declared(
    url: str, tmp_path: Path, real_data: Path, photographs: str
) -> None:
    path = real_data / "weights" / "mobilenetv3_small_tfhub_1001.onnx"
    spec = spec_of("onnx/foreign", path, preprocess=ZERO_TO_ONE, background=0)
    assert counts(url, tmp_path, spec) == (803, 949)


def test_the_foreign_file_is_stopped_while_it_is_not(
    url: str, tmp_path: Path, real_data: Path, photographs: str
) -> None:
    path = real_data / "weights" / "mobilenetv3_small_tfhub_1001.onnx"
    with pytest.raises(LabelsMismatch, match=r"1001 outputs.*1000 classes.*background"):
        counts(url, tmp_path, spec_of("onnx/foreign", path, preprocess=ZERO_TO_ONE))


def ways_to_register(folder: Path, photographs: Path) -> dict[str, Path | LabelOptions]:
    """The 20 validation photographs in every layout: a folder, or one with what is said of it."""
    lines = (photographs / "val_label.txt").read_text().splitlines()
    label_of = {name: int(label) for name, label in (line.split() for line in lines)}
    wnids = list(wnid_to_index())
    flat = folder / "flat"
    flat.mkdir()
    forms = {
        "loc.csv": "ImageId,PredictionString\n",
        "kaggle.csv": "filename,label\n",
        "wnids.txt": "",
        "from_one.txt": "",
        "list.txt": "",
    }
    for name, label in sorted(label_of.items()):
        (flat / name).symlink_to(photographs / name)
        (folder / "wnid" / wnids[label]).mkdir(parents=True, exist_ok=True)
        (folder / "wnid" / wnids[label] / name).symlink_to(photographs / name)
        (folder / "number" / str(label)).mkdir(parents=True, exist_ok=True)
        (folder / "number" / str(label) / name).symlink_to(photographs / name)
        forms["loc.csv"] += f"{name.removesuffix('.JPEG')},{wnids[label]} 1 2 30 40\n"
        forms["kaggle.csv"] += f"./val/{name},{label}\n"
        forms["wnids.txt"] += f"{name} {wnids[label]}\n"
        forms["from_one.txt"] += f"C:\\val\\{name} {label + 1}\r\n"
        forms["list.txt"] += f"{wnids[label]}\n"
    for form, text in forms.items():
        (folder / form).write_text(text)
    labeled: dict[str, Path | LabelOptions] = {
        form: LabelOptions(folder / form, base=1 if form == "from_one.txt" else None)
        for form in forms
    }
    return {"wnid": folder / "wnid", "number": folder / "number", **labeled}


def test_every_way_to_register_the_same_photographs_gives_the_same_counts(
    url: str, tmp_path: Path, real_data: Path
) -> None:
    photographs = real_data / "imagenet_val_20"
    spec = se_network(real_data)
    export.run(spec.to_json(), Quiet(url, tmp_path / "export"))
    built = build.run(
        BuildSpec(export=spec, precision=Precision.FP32).to_json(), Quiet(url, tmp_path / "build")
    )["artifact"]
    found = {}
    ways = {"as it is": photographs, **ways_to_register(tmp_path, photographs)}
    for number, (name, way) in enumerate(ways.items()):
        folder, said = (way, None) if isinstance(way, Path) else (tmp_path / "flat", way)
        register("val20", check_folder(folder, said, lambda done, total: None), url)
        asked = EvaluateSpec(artifact=built, dataset="val20")
        result = evaluation.run(asked.to_json(), Quiet(url, tmp_path / f"evaluate{number}"))
        with reading(url) as session:
            row = session.get(Evaluation, result["evaluation"])
        assert row is not None
        found[name] = (row.images, row.top1_count, row.top5_count)
    assert set(found.values()) == {found["as it is"]}, found
    assert found["as it is"][1] >= 10, "20 validation images of a network with 67 % on that set"


def test_the_flat_layout_with_a_label_file(url: str, tmp_path: Path, real_data: Path) -> None:
    checked = check_folder(real_data / "imagenet_val_20", None, lambda done, total: None)
    assert (len(checked.files), checked.layout, checked.corrupt) == (20, "flat, label file", ())
    register("val20", checked, url)
    spec = se_network(real_data)
    export.run(spec.to_json(), Quiet(url, tmp_path / "export"))
    built = build.run(
        BuildSpec(export=spec, precision=Precision.FP32).to_json(), Quiet(url, tmp_path / "build")
    )["artifact"]
    classifier = Classifier(artifacts.find_by_digest(built, url))
    right = sum(
        classifier.classify(checked.root / name).predictions[0].index == label
        for name, label in zip(checked.files, checked.labels, strict=True)
    )
    assert right >= 10, "20 validation images of a network with 67 % on that set"

"""Real predictions and real networks: what published figures and an independent loop give.

Needs the folder named by SENET_REAL_DATA; skipped without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torchvision import transforms
from torchvision.datasets.folder import default_loader

from db.enums import Precision, WeightsKind
from engine.build import job as build
from engine.catalog.models import catalog
from engine.evaluation import job as evaluation
from engine.evaluation.paired import compare
from engine.evaluation.per_image import PerImage, find_evaluation, load_per_image
from engine.export import job as export
from engine.imports.evaluation import OutsideEvaluation, import_evaluation
from engine.results import results_frame
from engine.specs import BuildSpec, EvaluateSpec, ExportSpec, WeightsSpec
from tests.support.tiny import Quiet

pytestmark = pytest.mark.real

PUBLISHED = {
    "legacy_seresnet50": (77.636, 93.752),
    "legacy_seresnet101": (78.396, 94.258),
    "legacy_seresnet152": (78.658, 94.374),
    "legacy_seresnext50_32x4d": (79.076, 94.434),
    "legacy_seresnext101_32x4d": (80.236, 95.028),
    "legacy_senet154": (81.304, 95.498),
}


def test_imported_predictions_of_six_networks(url: str, real_data: Path) -> None:
    ids = {}
    for name, (top1, top5) in PUBLISHED.items():
        asked = OutsideEvaluation(
            real_data / "predictions" / f"{name}.npz",
            f"timm/{name}",
            Precision.FP32,
            "ImageNetV2 authors",
            "imagenet-val",
            per_class=50,
        )
        row, _ = import_evaluation(asked, url)
        ids[name] = row.id
        assert row.images == 50_000
        assert row.top1_count is not None
        assert row.top5_count is not None
        assert (round(row.top1_count / 500, 3), round(row.top5_count / 500, 3)) == (top1, top5)
    frame = results_frame(url)
    assert set(frame["model_id"]) == {f"timm/{name}" for name in PUBLISHED}
    assert set(frame["model_id"]) <= set(catalog())
    seconds = []
    for first, second in combinations(PUBLISHED, 2):
        begun = time.perf_counter()
        pair = compare(ids[first], ids[second], url)
        seconds.append(time.perf_counter() - begun)
        assert pair.difference is not None
        points = PUBLISHED[second][0] - PUBLISHED[first][0]
        assert 100 * pair.difference.difference == pytest.approx(points, abs=1e-3)
        assert pair.difference.low < pair.difference.difference < pair.difference.high
    assert pair.difference.p_value < 1e-6
    print(f"slowest comparison {max(seconds):.3f} s")


def evaluated(url: str, tmp_path: Path, spec: ExportSpec) -> PerImage:
    export.run(spec.to_json(), Quiet(url, tmp_path / "export"))
    built = build.run(
        BuildSpec(export=spec, precision=Precision.FP32).to_json(), Quiet(url, tmp_path / "build")
    )["artifact"]
    asked = EvaluateSpec(artifact=built, dataset="in1k")
    result = evaluation.run(asked.to_json(), Quiet(url, tmp_path / "evaluate"))
    return load_per_image(find_evaluation(result["evaluation"], url))


@pytest.fixture(scope="module")
def crops(real_data: Path) -> torch.Tensor:
    """The photographs as torchvision resizes and crops them (1000, 3, 224, 224), uint8, by name."""
    cropped = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BILINEAR),
            transforms.CenterCrop(224),
            transforms.PILToTensor(),
        ]
    )
    files = sorted((real_data / "imagenet_1000").glob("*.JPEG"))
    return torch.stack([cropped(default_loader(str(file))) for file in files])


def independent_pass(
    crops: torch.Tensor,
    network: Callable[[torch.Tensor], torch.Tensor],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> np.ndarray:
    """Best five classes (1000, 5) by plain torch and torchvision."""
    found = []
    normalize = transforms.Normalize(mean, std)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        for batch in crops.split(16):
            scores = network(normalize(batch.float() / 255))
            found.append(scores.topk(5, dim=1).indices.numpy())
    torch.set_num_threads(threads)
    return np.concatenate(found)


def test_the_se_network_image_by_image_as_torch_has_it(
    url: str, tmp_path: Path, real_data: Path, photographs: str, crops: torch.Tensor
) -> None:
    import timm
    from safetensors.torch import load_file

    path = real_data / "weights" / "tf_mobilenetv3_small_100.safetensors"
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path))
    spec = ExportSpec(model_id="timm/tf_mobilenetv3_small_100", weights=weights)
    images = evaluated(url, tmp_path, spec)
    network = timm.create_model("tf_mobilenetv3_small_100", pretrained=False)
    network.load_state_dict(load_file(path))
    half = (0.5, 0.5, 0.5)
    expected = independent_pass(crops, network.eval(), half, half)
    labels = np.arange(1000)
    assert images.top is not None
    assert np.array_equal(images.label, labels), "one image a class, in the order of the wnids"
    assert np.array_equal(images.top[:, 0], expected[:, 0]), "the best class of every image"
    hits = expected == labels[:, None]
    assert np.array_equal(images.rank < 5, hits.any(axis=1))
    assert images.counts() == (int(hits[:, 0].sum()), int(hits.any(axis=1).sum())) == (803, 949)


def test_squeezenet_image_by_image_as_torchvision_has_it(
    url: str, tmp_path: Path, real_data: Path, photographs: str, crops: torch.Tensor
) -> None:
    from torchvision.models import squeezenet1_1

    path = real_data / "weights" / "squeezenet1_1.onnx"
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path))
    spec = ExportSpec(
        model_id="onnx/squeezenet", weights=weights, preprocess={"resize": 256, "crop": 224}
    )
    images = evaluated(url, tmp_path, spec)
    network = squeezenet1_1(weights=None)
    stored = {t.name: numpy_helper.to_array(t).copy() for t in onnx.load(path).graph.initializer}
    own = network.state_dict()
    network.load_state_dict({name: torch.from_numpy(stored[name]) for name in own})
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = independent_pass(crops, network.eval(), mean, std)
    hits = expected == np.arange(1000)[:, None]
    assert images.top is not None
    assert np.array_equal(images.top[:, 0], expected[:, 0])
    assert images.counts() == (int(hits[:, 0].sum()), int(hits.any(axis=1).sum())) == (612, 835)

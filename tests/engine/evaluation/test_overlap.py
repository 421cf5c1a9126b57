"""Images that an int8 build was calibrated or searched on are counted where it is evaluated."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from db.enums import Precision, WeightsKind
from db.models import Artifact, Dataset, Evaluation
from db.session import reading
from engine.build import job as build
from engine.build.int8.calibration_overlap import find_overlap, select_held_out
from engine.cli.main import app
from engine.datasets.reader import open_index
from engine.datasets.registration import check_folder, register
from engine.datasets.sampling import sample_by_class
from engine.errors import DatasetInvalid
from engine.evaluation import job as evaluation
from engine.evaluation.per_image import load_per_image
from engine.export import job as export
from engine.results import results_frame
from engine.specs import BuildSpec, CalibrationSpec, EvaluateSpec, ExportSpec, WeightsSpec
from engine.store import artifacts
from engine.store.protocols import EvaluationProtocol
from tests.support.tiny import PREPROCESS, Quiet, image_folder, labeled_by, tiny_se_model


@pytest.fixture
def spec(url: str, tmp_path: Path) -> ExportSpec:
    """The tiny network, exported; the set `tiny` has 120 images."""
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set"), url)
    path = tmp_path / "tiny.onnx"
    onnx.save(tiny_se_model(), path)
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path))
    made = ExportSpec(model_id="onnx/tiny", weights=weights, preprocess=PREPROCESS.to_dict())
    export.run(made.to_json(), Quiet(url, tmp_path / "export"))
    return made


def int8(url: str, folder: Path, spec: ExportSpec, **how: object) -> tuple[Artifact, list[str]]:
    """The int8 build, and what was said on the way."""
    calibration = CalibrationSpec.model_validate({"dataset": "tiny", "images": 40, **how})
    asked = BuildSpec(export=spec, precision=Precision.INT8, calibration=calibration)
    context = Quiet(url, folder / f"build-{uuid4().hex}")
    digest = build.run(asked.to_json(), context)["artifact"]
    return artifacts.find_by_digest(digest, url), context.said


def evaluated(
    url: str, folder: Path, artifact: Artifact, **more: object
) -> tuple[Evaluation, list[str]]:
    asked = EvaluateSpec.model_validate({"artifact": artifact.digest, "dataset": "tiny", **more})
    context = Quiet(url, folder / f"evaluate-{uuid4().hex}")
    number = evaluation.run(asked.to_json(), context)["evaluation"]
    with reading(url) as session:
        row = session.get(Evaluation, number)
    assert row is not None
    return row, context.said


def drawn(url: str, count: int, seed: int = 0) -> np.ndarray:
    with reading(url) as session:
        dataset = session.query(Dataset).filter_by(name="tiny").one()
    return sample_by_class(open_index(dataset).labels, count, seed)


def test_the_images_in_common_are_counted_and_the_rest_has_its_own_accuracy(
    url: str, tmp_path: Path, spec: ExportSpec
) -> None:
    artifact, _ = int8(url, tmp_path, spec)
    row, said = evaluated(url, tmp_path, artifact)
    found = row.protocol["seen_before"]
    assert (found["calibrated"], found["searched"], found["images"]) == (40, 0, 40)
    rest = load_per_image(row).subset(~np.isin(load_per_image(row).image, drawn(url, 40)))
    assert found["rest"] == {
        "images": 80,
        "top1": int((rest.rank == 0).sum()),
        "top5": int((rest.rank < 5).sum()),
    }
    sentence = "40 of 120 images were used for calibration; top-1 on the other 80: "
    assert any(sentence in text for text in said)
    assert sentence in str(EvaluationProtocol.from_row(row).overlap_text)
    shown = CliRunner().invoke(app, ["evaluation", "show", str(row.id)])
    assert "40 of 120 images were used for calibration" in " ".join(shown.output.split())
    assert results_frame(url).set_index("precision").loc["int8", "seen_images"] == 40


def test_of_part_of_a_set_only_that_part_counts(url: str, tmp_path: Path, spec: ExportSpec) -> None:
    artifact, _ = int8(url, tmp_path, spec, seed=3)
    row, _ = evaluated(url, tmp_path, artifact, limit=30)
    expected = len(np.intersect1d(drawn(url, 40, seed=3), drawn(url, 30)))
    assert 0 < expected < 30
    assert row.protocol["seen_before"]["images"] == expected
    assert row.protocol["seen_before"]["of"] == 30


def test_the_same_files_under_another_name_are_recognized(
    url: str, tmp_path: Path, spec: ExportSpec
) -> None:
    artifact, _ = int8(url, tmp_path, spec)
    half = tmp_path / "half"
    shutil.copytree(tmp_path / "set", half)
    for path in sorted(half.rglob("*.png"))[::2]:
        path.unlink()
    other = register("half", check_folder(half, None, lambda done, total: None), url)
    index = open_index(other)
    with reading(url) as session:
        tiny = open_index(session.query(Dataset).filter_by(name="tiny").one())
    calibrated = {tiny.files[int(i)] for i in drawn(url, 40)}
    row, _ = evaluated(url, tmp_path, artifact, dataset="half")
    assert 0 < row.protocol["seen_before"]["images"] == len(calibrated & set(index.files)) < 40


def test_images_apart_are_said_to_be_so(url: str, tmp_path: Path, spec: ExportSpec) -> None:
    artifact, _ = int8(url, tmp_path, spec)
    other = image_folder(tmp_path / "other", per_class=31)
    for path in other.rglob("0[0-2]*.png"):
        path.unlink()
    register("other", check_folder(other, None, lambda done, total: None), url)
    row, said = evaluated(url, tmp_path, artifact, dataset="other")
    assert row.protocol["seen_before"]["images"] == 0
    assert EvaluationProtocol.from_row(row).overlap_text == "no overlap with the calibration set"
    assert not any("new to this build" in text for text in said)


def test_images_that_a_search_was_judged_on_count_too(
    url: str, tmp_path: Path, spec: ExportSpec
) -> None:
    artifact, _ = int8(url, tmp_path, spec, max_drop=50.0)
    made = artifact.manifest["build"]["calibration"]
    assert (made["images"], made["images_searched"]) == (40, 80)
    row, _ = evaluated(url, tmp_path, artifact)
    found = row.protocol["seen_before"]
    assert (found["calibrated"], found["searched"], found["images"]) == (40, 80, 120)
    sentence = "120 of 120 images were used for calibration or the accuracy search"
    assert EvaluationProtocol.from_row(row).overlap_text == sentence


def test_older_builds_are_known_by_drawing_again(
    url: str, tmp_path: Path, spec: ExportSpec
) -> None:
    artifact, _ = int8(url, tmp_path, spec, seed=9)
    (artifacts.folder_of(artifact.digest) / artifacts.IMAGES_FILE).unlink()
    row, _ = evaluated(url, tmp_path, artifact)
    assert row.protocol["seen_before"]["images"] == 40
    with reading(url) as session:
        index = open_index(session.query(Dataset).filter_by(name="tiny").one())
    found = find_overlap(artifact, index, np.arange(120))
    assert found is not None
    assert np.array_equal(np.flatnonzero(found.calibrated), drawn(url, 40, seed=9))


def test_float_builds_have_seen_nothing(url: str, tmp_path: Path, spec: ExportSpec) -> None:
    asked = BuildSpec(export=spec, precision=Precision.FP32)
    digest = build.run(asked.to_json(), Quiet(url, tmp_path / "fp32"))["artifact"]
    row, _ = evaluated(url, tmp_path, artifacts.find_by_digest(digest, url))
    assert "seen_before" not in row.protocol
    assert EvaluationProtocol.from_row(row).overlap_text is None


def test_other_labels_say_nothing_of_the_rest() -> None:
    facts = {"calibrated": 3, "searched": 0, "images": 3, "of": 9, "rest": {"images": 6, "top1": 5}}
    stored = {"batch": 4, "seen_before": facts, "of_a_later_version": [1]}
    kept = EvaluationProtocol.model_validate(stored).without_remaining_counts()
    assert kept.dump() == stored | {"seen_before": {k: facts[k] for k in facts if k != "rest"}}
    assert kept.overlap_text == "3 of 9 images were used for calibration"


def test_images_held_out_are_apart_and_spread_over_the_classes() -> None:
    labels = np.repeat(np.arange(10), 50)
    calibrated = sample_by_class(labels, 100, 0)
    held = select_held_out(labels, calibrated, 60, 1)
    assert len(held) == 60
    assert not np.isin(held, calibrated).any()
    assert (np.bincount(labels[held]) == 6).all()
    assert len(select_held_out(labels, np.arange(500), 60, 1)) == 0


def test_a_second_build_says_that_it_knows(url: str, tmp_path: Path, spec: ExportSpec) -> None:
    int8(url, tmp_path, spec)
    _, said = int8(url, tmp_path, spec, float_share=0.3)
    known = [text for text in said if "Reused from an earlier calibration" in text]
    assert len(known) == 2, "statistics, and ranges"
    _, said = int8(url, tmp_path, spec, seed=1)
    assert not any("Reused from" in text for text in said)


def test_a_calibration_image_that_can_no_longer_be_read_is_named(
    url: str, tmp_path: Path, spec: ExportSpec
) -> None:
    with reading(url) as session:
        index = open_index(session.query(Dataset).filter_by(name="tiny").one())
    name = index.files[int(drawn(url, 40)[7])]
    (index.root / name).write_bytes(b"no image")
    with pytest.raises(DatasetInvalid, match=f"{name} of dataset 'tiny' cannot be preprocessed"):
        int8(url, tmp_path, spec)


def test_classes_without_an_image_are_said(url: str, tmp_path: Path, spec: ExportSpec) -> None:
    artifact, said = int8(url, tmp_path, spec, images=2)
    assert artifact.manifest["build"]["calibration"]["classes"] == 2
    assert any("The 2 calibration images cover 2 of 3 classes" in text for text in said)
    _, said = int8(url, tmp_path, spec, images=40)
    assert not any("calibration images cover" in text for text in said)

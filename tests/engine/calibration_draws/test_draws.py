"""Draws of the calibration images: one build a seed, counted in both runtimes, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.calibration_draws import job
from engine.calibration_draws.records import CalibrationDraws, load_draws
from engine.calibration_draws.requests import calibration_of, require_draws
from engine.datasets.registration import find_dataset
from engine.errors import DatasetInvalid, InvalidRequest
from engine.specs import DrawsSpec
from tests.support.int8_builds import DATASET, int8_build
from tests.support.tiny import Quiet, store_build, tiny_se_model


def test_each_draw_is_built_and_counted(url: str, tmp_path: Path) -> None:
    artifact = int8_build(url, tmp_path, mode="max", float_share=0.0)
    assert load_draws(artifact.digest) is None
    second = calibration_of(artifact, 1)
    assert (second.seed, second.images, second.mode, second.float_share) == (1, 8, "max", 0.0)
    digest = find_dataset(DATASET, url).digest
    spec = DrawsSpec(artifact=artifact.digest, dataset=DATASET, dataset_digest=digest, draws=2)
    job.run(spec.to_json(), Quiet(url, tmp_path / "draws"))
    found = load_draws(artifact.digest)
    assert found is not None
    # The labels are what fp32 gives, and int8 gives nearly the same.
    assert (found.images, found.fp32, found.seeds) == (16, 16, [0, 1])
    assert set(found.correct) == {"onnxruntime", "openvino"}
    assert all(count >= 14 for counts in found.correct.values() for count in counts)
    assert 8 <= found.overlapping <= 16
    with pytest.raises(DatasetInvalid, match="registered again"):
        job.run(spec.to_json() | {"dataset_digest": "other"}, Quiet(url, tmp_path / "again"))


def test_the_spread_in_a_sentence() -> None:
    draws = CalibrationDraws(
        artifact="a",
        model_id="m",
        dataset="val",
        images=1000,
        fp32=803,
        seeds=[0, 1, 2],
        correct={"onnxruntime": [799, 800, 787]},
    )
    assert draws.sentence("onnxruntime") == (
        "ONNX Runtime: top-1 79.53 % (78.70 to 80.00 %) over 3 draws, SD 0.72 pp."
    )
    assert draws.notes() == ["1,000 images of val.", "fp32: 80.30 %."]
    few = draws.model_copy(update={"calibration_images": 300, "calibration_pool": 500})
    assert few.notes()[-1].startswith("Each draw takes 300 of 500 calibration images")


def test_a_build_that_uses_all_images_has_no_other_draw(url: str, tmp_path: Path) -> None:
    artifact = int8_build(url, tmp_path)
    dataset = find_dataset(DATASET, url)
    dataset.num_images = calibration_of(artifact, 0).images
    with pytest.raises(InvalidRequest, match="calibrated on all 8 images of tiny, so every draw"):
        require_draws(artifact, dataset)


def test_a_build_that_was_not_calibrated_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="was not calibrated here: choose an int8 build"):
        calibration_of(store_build(url, tiny_se_model()), 0)

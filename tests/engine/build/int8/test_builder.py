"""Accuracy-constrained builds as jobs: resumed, without labels, with wrong labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from db.enums import Precision
from engine.build import job as build
from engine.config import settings
from engine.datasets.registration import check_folder, register
from engine.errors import JobLost, LabelsMismatch
from engine.preprocess import open_image, preprocess
from engine.specs import BuildSpec, CalibrationSpec, ExportSpec
from engine.store import artifacts
from tests.support.exports import onnx_spec, run_export
from tests.support.mobile import scores
from tests.support.tiny import PREPROCESS, Quiet, image_folder, labeled_by, tiny_se_model


class Stopped(Quiet):
    """A job that is lost when it reaches a stage."""

    stage_of_death = ""

    def stage(self, message: str) -> None:
        if message.startswith(self.stage_of_death):
            raise JobLost("stopped by the test")
        super().stage(message)


class Watched(Quiet):
    """Records the progress messages."""

    def progress(self, done: int, total: int, unit: str, message: str | None = None) -> None:
        self.said.append(str(message))
        super().progress(done, total, unit, message)


@pytest.fixture
def spec(url: str, tmp_path: Path) -> ExportSpec:
    onnx.save(tiny_se_model(), tmp_path / "tiny.onnx")
    made = onnx_spec(tmp_path / "tiny.onnx")
    run_export(url, tmp_path / "export", made)
    return made


def build_spec(spec: ExportSpec, **more: Any) -> dict[str, Any]:
    calibration = CalibrationSpec(dataset="tiny", images=16, max_drop=5.0, **more)
    return BuildSpec(export=spec, precision=Precision.INT8, calibration=calibration).to_json()


def bound_facts(url: str, made: dict[str, Any]) -> dict[str, Any]:
    manifest = artifacts.find_by_digest(made["artifact"], url).manifest
    found: dict[str, Any] = manifest["build"]["quantisation"]["bound"]
    return found


def test_a_stopped_search_is_resumed(url: str, tmp_path: Path, spec: ExportSpec) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set"), url)
    first = Stopped(url, tmp_path / "first")
    first.stage_of_death = "Analyzing layers"
    with pytest.raises(JobLost):
        build.run(build_spec(spec), first)
    searches = settings().home / "cache" / "searches"
    assert len(list(searches.iterdir())) == 1

    second = Watched(url, tmp_path / "second")
    made = build.run(build_spec(spec), second)
    assert any("Resuming a stopped search" in said for said in second.said)
    assert not any("Evaluating" in said for said in second.said)
    found = bound_facts(url, made)
    assert found["steps_of_earlier_attempts"] == len(found["steps"]) > 0
    assert found["measure"] == "top-1"
    assert found["images"] == 104
    assert list(searches.iterdir()) == [], "the checkpoint of a finished search is deleted"


def test_without_labels_agreement_is_constrained(
    url: str, tmp_path: Path, spec: ExportSpec
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(image_folder(tmp_path / "set").rglob("*.png"))):
        path.rename(flat / f"{number}.png")
    register("tiny", check_folder(flat, None, lambda done, total: None, unlabelled=True), url)
    found = bound_facts(url, build.run(build_spec(spec), Quiet(url, tmp_path / "build")))
    assert found["measure"] == "agreement with fp32"
    assert found["images"] == 104


def test_labels_that_do_not_match_are_refused(url: str, tmp_path: Path, spec: ExportSpec) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set", per_class=40), url, shift=1)
    with pytest.raises(LabelsMismatch, match="fp32 on 'tiny' is not better than chance"):
        build.run(build_spec(spec), Quiet(url, tmp_path / "build"))


def test_a_background_class_is_ignored(url: str, tmp_path: Path) -> None:
    """Labels start after the background class; otherwise fp32 would be at chance."""
    model, root = tiny_se_model(), image_folder(tmp_path / "set", per_class=40)
    found = check_folder(root, None, lambda done, total: None)
    images = np.stack([preprocess(open_image(root / name), PREPROCESS) for name in found.files])
    labels = scores(model, images)[:, 1:].argmax(axis=1)
    known = replace(found, labels=tuple(labels.tolist()), classes=("a", "b", "c"))
    register("tiny", known, url)
    onnx.save(model, tmp_path / "tiny.onnx")
    spec = onnx_spec(tmp_path / "tiny.onnx", background=0)
    run_export(url, tmp_path / "export", spec)
    assert bound_facts(url, build.run(build_spec(spec), Quiet(url, tmp_path / "build")))["drop"] < 5

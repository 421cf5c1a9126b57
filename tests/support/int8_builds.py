"""An int8 build of the tiny SE network, made by the jobs, and the dataset it is calibrated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from db.enums import Precision
from db.models import Artifact
from engine.build import job as build
from engine.specs import BuildSpec, CalibrationSpec
from engine.store import artifacts
from tests.support.exports import onnx_spec, run_export
from tests.support.tiny import Quiet, image_folder, labeled_by, tiny_se_model

DATASET = "tiny"


def int8_build(url: str, folder: Path, softmax: bool = False, **calibration: Any) -> Artifact:
    """Exports, registers DATASET (16 images), and builds from 8 of them."""
    onnx.save(tiny_se_model(), folder / "tiny.onnx")
    exported = onnx_spec(folder / "tiny.onnx")
    run_export(url, folder / "export", exported)
    labeled_by(tiny_se_model(), image_folder(folder / "set", per_class=4), url)
    spec = BuildSpec(
        export=exported,
        precision=Precision.INT8,
        softmax=softmax,
        calibration=CalibrationSpec(dataset=DATASET, images=8, **calibration),
    )
    made = build.run(spec.to_json(), Quiet(url, folder / "build"))
    return artifacts.find_by_digest(made["artifact"], url)

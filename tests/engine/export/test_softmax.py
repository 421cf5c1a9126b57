"""A softmax at the end of a build, and recipes that mean what they meant before there was one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from db.enums import Precision, WeightsKind
from engine.build import job as build
from engine.common.digests import data_digest
from engine.common.scores import softmax
from engine.export import job as export
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import BuildSpec, CalibrationSpec, ExportSpec, WeightsSpec
from engine.store import artifacts
from tests.support.tiny import SIDE, Quiet, tiny_se_model

CPU = "CPUExecutionProvider"


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_the_build_gives_the_softmax_of_its_scores(
    url: str, tmp_path: Path, precision: Precision
) -> None:
    onnx.save(tiny_se_model(), tmp_path / "tiny.onnx")
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(tmp_path / "tiny.onnx"))
    spec = ExportSpec(model_id="onnx/tiny", weights=weights)
    export.run(spec.to_json(), Quiet(url, tmp_path / "export"))
    outputs = {}
    batch = np.random.default_rng(0).standard_normal((5, 3, SIDE, SIDE)).astype(np.float32)
    for wanted in (False, True):
        asked = BuildSpec(export=spec, precision=precision, softmax=wanted)
        made = build.run(asked.to_json(), Quiet(url, tmp_path / f"build{wanted}"))
        artifact = artifacts.find_by_digest(made["artifact"], url)
        expected = "probabilities" if wanted else "logits"
        assert artifact.manifest["scores"] == expected
        outputs[wanted] = OnnxSession(artifacts.model_path(artifact.digest), CPU, 1).run(batch)
    np.testing.assert_allclose(outputs[True], softmax(outputs[False]), rtol=1e-5, atol=1e-7)


def test_what_is_not_asked_for_leaves_the_recipe_as_it_was() -> None:
    calibration = CalibrationSpec(dataset="set")
    spec = BuildSpec(
        export=ExportSpec(model_id="timm/seresnet50"),
        precision=Precision.INT8,
        calibration=calibration,
    )
    before = {
        "export": spec.export.fingerprint(),
        "precision": "int8",
        "calibration": {
            "dataset": "set",
            "images": 300,
            "seed": 0,
            "mode": "mse",
            "percentile": 99.999,
        },
    }
    assert spec.fingerprint() == data_digest(before)
    kept = calibration.model_copy(update={"keep_in_float": (3,)})
    others = [
        spec.model_copy(update={"softmax": True}),
        spec.model_copy(update={"calibration": kept}),
    ]
    assert len({spec.fingerprint(), *(other.fingerprint() for other in others)}) == 3

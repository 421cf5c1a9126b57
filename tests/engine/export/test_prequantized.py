"""Quantized ONNX files are recognized, imported unchanged, and evaluated with exact sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from db.enums import Precision, WeightsKind
from db.models import Artifact
from engine.build import job as build
from engine.build.int8 import saturation
from engine.build.int8.pipeline import prepare, quantize
from engine.build.int8.targets import get_target
from engine.errors import BuildFailed
from engine.export import job as export
from engine.export.prequantized import quantization_summary
from engine.specs import (
    BuildSpec,
    CalibrationSpec,
    ExportSpec,
    RangeCheckSpec,
    TargetName,
    WeightsSpec,
)
from engine.store import artifacts
from engine.store.manifest import Prequantized
from tests.support.mobile import calibration
from tests.support.tiny import PREPROCESS, Quiet, image_folder, labeled_by, tiny_se_model


def int8_model(target: TargetName = TargetName.X86_VNNI) -> ModelProto:
    asked = get_target(target)
    return quantize(prepare(tiny_se_model(), calibration(), target=asked), asked)[0]


def fused(model: ModelProto, folder: Path) -> ModelProto:
    """The same model in integer operators, as other tools write it."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "fused.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "fused.onnx")


def spec_of(path: Path) -> ExportSpec:
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path))
    return ExportSpec(model_id="onnx/theirs", weights=weights, preprocess=PREPROCESS.to_dict())


def built(url: str, folder: Path, **asked: Any) -> Artifact:
    folder.mkdir()
    spec = BuildSpec(export=spec_of(folder.parent / "theirs.onnx"), **asked)
    return artifacts.find_by_digest(build.run(spec.to_json(), Quiet(url, folder))["artifact"], url)


@pytest.fixture
def exported(url: str, tmp_path: Path) -> Artifact:
    onnx.save(int8_model(), tmp_path / "theirs.onnx")
    (tmp_path / "export").mkdir()
    made = export.run(spec_of(tmp_path / "theirs.onnx").to_json(), Quiet(url, tmp_path / "export"))
    return artifacts.find_by_digest(made["artifact"], url)


def test_quantized_layers_are_counted_in_qdq_and_integer_operator_form(tmp_path: Path) -> None:
    model = int8_model()
    assert quantization_summary(tiny_se_model()) is None
    assert quantization_summary(model) == Prequantized(layers=4, of=4, overflows=True)
    found = quantization_summary(fused(model, tmp_path))
    assert found is not None
    assert (found.layers, found.overflows) == (4, True)


@pytest.mark.parametrize(
    ("weights", "overflows"),
    [
        (np.array([64, -64], np.int8), False),
        (np.array([-128, 0], np.int8), True),
        (np.array([255, 0], np.uint8), False),
    ],
)
def test_weights_up_to_64_do_not_overflow(weights: np.ndarray, overflows: bool) -> None:
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 1])],
        [numpy_helper.from_array(weights.reshape(2, 1), "w")],
    )
    found = quantization_summary(helper.make_model(graph))
    assert found is not None
    assert found.overflows is overflows


def test_a_quantized_file_is_imported_unchanged_and_its_overflow_is_reported(
    url: str, tmp_path: Path, exported: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exported.manifest["quantised"] == {"layers": 4, "of": 4, "overflows": True}
    plain = built(url, tmp_path / "fp32", precision=Precision.FP32)
    assert plain.manifest["quantised"] == exported.manifest["quantised"]
    monkeypatch.setattr(saturation, "instruction_sets", lambda: ("avx2",))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    warning = saturation.overflow_warning(plain)
    assert warning is not None
    assert "overflows in the fast kernels" in warning
    monkeypatch.setattr(saturation, "instruction_sets", lambda: ("avx2", "avx_vnni"))
    assert saturation.overflow_warning(plain) is None


def test_a_quantized_file_is_not_quantized_again(
    url: str, tmp_path: Path, exported: Artifact
) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set"), url)
    calibrated = CalibrationSpec(dataset="tiny", images=1)
    with pytest.raises(BuildFailed, match="quantized already, so there is no int8 build of it"):
        built(url, tmp_path / "int8", precision=Precision.INT8, calibration=calibrated)
    checked = RangeCheckSpec(dataset="tiny", images=1)
    with pytest.raises(BuildFailed, match="choose fp32"):
        built(url, tmp_path / "fp16", precision=Precision.FP16, range_check=checked)

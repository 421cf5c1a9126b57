"""Calibration against ONNX Runtime's own, rewrites that change nothing, and a graph that fuses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from engine.errors import BuildFailed
from engine.quantize.calibrate import max_ranges
from engine.quantize.rewrite import squeeze_to_global_pool
from engine.quantize.static import quantize
from engine.runtimes.onnx_runtime import OnnxRuntime
from tests.engine.tiny import SIDE, tiny_se_model


def batches(count: int = 3, size: int = 4) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.normal(0, 1, (size, 3, SIDE, SIDE)).astype(np.float32) for _ in range(count)]


def outputs(model: onnx.ModelProto, path: Path, batch: np.ndarray) -> np.ndarray:
    onnx.save(model, path)
    return OnnxRuntime(path, "CPUExecutionProvider", 1).run(batch)


def test_max_ranges_equal_those_of_onnx_runtime(tmp_path: Path) -> None:
    model = tiny_se_model()
    onnx.save(model, tmp_path / "m.onnx")

    class Reader(CalibrationDataReader):
        """Feeds the same batches."""

        def __init__(self) -> None:
            self.left = iter(batches())

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.left, None)
            return None if batch is None else {"input": batch}

    theirs = create_calibrator(
        str(tmp_path / "m.onnx"),
        augmented_model_path=str(tmp_path / "augmented.onnx"),
        calibrate_method=CalibrationMethod.MinMax,
    )
    theirs.collect_data(Reader())
    expected = {name: data.range_value for name, data in theirs.compute_data().items()}
    seen: list[int] = []
    ours = max_ranges(model, batches(), 1, seen.append)
    assert seen == [4, 8, 12]
    assert set(expected) <= set(ours)
    for name, extremes in expected.items():
        low, high = (np.asarray(value).item() for value in extremes)
        assert ours[name] == pytest.approx((low, high), rel=1e-6), name


def test_ranges_do_not_depend_on_how_images_are_batched() -> None:
    model = tiny_se_model()
    images = np.concatenate(batches())
    one_by_one = max_ranges(model, [images[i : i + 1] for i in range(12)], 1, lambda n: None)
    at_once = max_ranges(model, [images], 1, lambda n: None)
    for name, extremes in at_once.items():
        assert one_by_one[name] == pytest.approx(extremes, rel=1e-5), name


def test_a_tensor_that_is_not_finite_is_named() -> None:
    poisoned = batches(1)[0]
    poisoned[0, 0, 0, 0] = np.inf
    with pytest.raises(BuildFailed, match=r"Tensor 'input' .*not finite"):
        max_ranges(tiny_se_model(), [poisoned], 1, lambda n: None)


def test_no_image_is_an_error() -> None:
    with pytest.raises(BuildFailed, match="at least one image"):
        max_ranges(tiny_se_model(), [], 1, lambda n: None)


def test_the_squeeze_becomes_a_pool_and_nothing_changes(tmp_path: Path) -> None:
    model = tiny_se_model()
    batch = batches(1)[0]
    before = outputs(model, tmp_path / "a.onnx", batch)
    assert squeeze_to_global_pool(model) == 1, "the head's mean drops its dimensions and stays"
    onnx.checker.check_model(model, full_check=True)
    assert np.allclose(before, outputs(model, tmp_path / "b.onnx", batch), rtol=1e-5, atol=1e-6)
    assert [n.op_type for n in model.graph.node].count("ReduceMean") == 1


def test_the_int8_graph_keeps_its_convolutions_and_its_squeeze_in_integers(tmp_path: Path) -> None:
    model = tiny_se_model()
    squeeze_to_global_pool(model)
    ranges = max_ranges(model, batches(), 1, lambda n: None)
    quantize(model, ranges, tmp_path / "q.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["q.onnx"], "the ranges file does not stay"

    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(str(tmp_path / "q.onnx"), options, providers=["CPUExecutionProvider"])
    fused = Counter(n.op_type for n in onnx.load(tmp_path / "fused.onnx").graph.node)
    assert fused["QLinearConv"] == 3
    assert fused["QLinearGlobalAveragePool"] == 1
    assert fused["Conv"] == 0


def test_int8_scores_stay_near_fp32(tmp_path: Path) -> None:
    model = tiny_se_model()
    batch = np.concatenate(batches())
    exact = outputs(model, tmp_path / "a.onnx", batch)
    squeeze_to_global_pool(model)
    quantize(model, max_ranges(model, batches(), 1, lambda n: None), tmp_path / "q.onnx")
    rounded = OnnxRuntime(tmp_path / "q.onnx", "CPUExecutionProvider", 1).run(batch)
    error = np.abs(exact - rounded).max() / np.abs(exact).max()
    assert 0 < error < 0.1

"""Mixed precision: the best layers are excluded, within the budget, and really run in float."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from engine.build.int8 import pipeline
from engine.build.int8.mixed_precision import mixed_precision
from engine.build.int8.mixed_precision.layer_selection import Layer, select_layers
from engine.build.int8.mixed_precision.sensitivity import (
    create_scorer,
    fake_quantize,
    measure_sensitivity,
    noise_to_sqnr_db,
    relative_noise,
)
from engine.build.int8.pipeline import prepare, quantize
from engine.build.int8.report import create_report
from engine.build.int8.statistics.hard_swish_ranges import HardSwishSample
from engine.runtimes.observing import session_of
from tests.support.int8_requests import calibration_settings, request_for, silent
from tests.support.mobile import VNNI, batches, mobile_model, scores


def test_the_selection_is_the_best_of_all_subsets() -> None:
    random = np.random.default_rng(5)
    layers = [Layer(str(n), int(macs)) for n, macs in enumerate(random.integers(1, 400, 9) * 10)]
    gains = {
        layer.output: float(gain) for layer, gain in zip(layers, random.random(9), strict=True)
    }
    total = sum(layer.macs for layer in layers)
    best = max(
        sum(gains[layer.output] for layer in some)
        for count in range(10)
        for some in combinations(layers, count)
        if sum(-(-layer.macs * 1000 // total) for layer in some) <= 300
    )
    kept = select_layers(layers, gains, 0.3)
    assert sum(gains[name] for name in kept) == pytest.approx(best)
    assert sum(layer.macs for layer in layers if layer.output in kept) <= 0.3 * total


def test_the_noises_of_layers_and_tensors_add_up_to_that_of_full_int8() -> None:
    prepared = prepare(mobile_model(), calibration_settings())
    quantizer = pipeline.create_fake_quantizer(prepared, VNNI)
    sensitivity = measure_sensitivity(
        quantizer, create_scorer(np.concatenate(batches(3)), 1), 0.0, 60, silent, with_tensors=True
    )
    parts = sum(sensitivity.layers.values()) + sum(sensitivity.tensors.values())
    assert abs(noise_to_sqnr_db(parts) - noise_to_sqnr_db(sensitivity.full_int8)) < 3
    # The outputs that a HardSwish reads are measured with their layers.
    assert set(sensitivity.layers) == {"c", "d", "e1", "e3", "p", "q", "logits"}
    assert set(sensitivity.tensors) < set(prepared.placement.quantized) - {"c", "d"}


def test_other_tensors_are_measured_only_where_they_are_asked_for() -> None:
    prepared = prepare(mobile_model(), calibration_settings())
    quantizer = pipeline.create_fake_quantizer(prepared, VNNI)
    scorer = create_scorer(np.concatenate(batches(1)), 1)
    sensitivity = measure_sensitivity(quantizer, scorer, 0.0, 60, silent)
    assert sensitivity.layers
    assert not sensitivity.tensors
    negligible = measure_sensitivity(quantizer, scorer, sensitivity.full_int8, 60, silent)
    assert negligible.full_int8 == pytest.approx(sensitivity.full_int8)
    assert not negligible.layers


def test_fake_quantization_computes_what_the_build_computes() -> None:
    prepared = prepare(mobile_model(), calibration_settings())
    quantizer = pipeline.create_fake_quantizer(prepared, VNNI)
    built, _ = quantize(prepared, VNNI)
    images = np.concatenate(batches(2))
    imitated = fake_quantize(quantizer, frozenset(prepared.placement.quantized), quantizer.layers())
    ours, theirs = create_scorer(images, 1)(imitated), create_scorer(images, 1)(built)
    assert noise_to_sqnr_db(relative_noise(ours, theirs)) > 30


def test_onnx_runtime_does_not_quantize_an_excluded_layer(tmp_path: Path) -> None:
    """ONNX Runtime 1.32 quantizes float weights after a per-tensor DequantizeLinear."""
    source = mobile_model()
    kept = frozenset(n.output[0] for n in source.graph.node if n.output[0] == "d")
    prepared = prepare(source, calibration_settings(), kept)
    built, _ = quantize(prepared, VNNI)
    session_of(built, 1, tmp_path / "optimized.onnx")
    optimized = onnx.load(tmp_path / "optimized.onnx")
    in_float = [n for n in optimized.graph.node if n.op_type in ("Conv", "FusedConv")]
    assert len(in_float) == 1
    weights = {t.name: numpy_helper.to_array(t) for t in optimized.graph.initializer}
    assert weights[in_float[0].input[1]].dtype == np.float32


def test_excluding_all_layers_reduces_the_noise() -> None:
    source = mobile_model()
    layers = frozenset(n.output[0] for n in source.graph.node if n.op_type == "Conv")
    images = np.concatenate(batches(2))
    wanted = scores(source, images)
    plain, _ = quantize(prepare(source, calibration_settings()), VNNI)
    kept, _ = quantize(prepare(source, calibration_settings(), layers), VNNI)
    assert relative_noise(scores(kept, images), wanted) < relative_noise(
        scores(plain, images), wanted
    )


def test_a_dead_channel_keeps_its_bias() -> None:
    weights = np.random.default_rng(0).normal(0, 1, (4, 3, 1, 1)).astype(np.float32)
    weights[2] *= 1e-9
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "w", "b"], ["c"]),
            helper.make_node("Conv", ["c", "v"], ["scores"]),
        ],
        "dead",
        [helper.make_tensor_value_info("input", 1, [None, 3, 16, 16])],
        [helper.make_tensor_value_info("scores", 1, [None, 4, 16, 16])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array([0, 0, 7, 0], np.float32), "b"),
            numpy_helper.from_array(np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1), "v"),
        ],
    )
    source = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    built, _ = quantize(prepare(source, calibration_settings()), VNNI)
    out = session_of(built, 1).run(None, {"input": batches(1)[0]})[0]
    assert np.allclose(out[:, 2], 7, atol=0.2)


def test_the_range_of_a_gate_input_is_clipped_where_the_output_is_zero() -> None:
    random = np.random.default_rng(2)
    sample = HardSwishSample(np.full(1, 1 / 6), np.full(1, 0.5))
    values = np.concatenate([random.normal(0, 2, 5000), random.uniform(-80, -10, 5000)])
    sample.add(values.astype(np.float32)[None], np.zeros(10_000, np.int64), 10_000)
    low, high = sample.estimate_range(-80, float(values.max()))
    assert -10 < low < -1.5
    assert high > 4


def test_the_report_names_every_layer() -> None:
    source = mobile_model()
    images = np.concatenate(batches(2))
    mixed = mixed_precision.build_default(request_for(source, required_float=frozenset({"d"})))
    report = create_report(source, mixed, (image[None] for image in images), 1)
    layers = {layer.tensor: layer for layer in report.layers}
    convolutions = {n.output[0] for n in source.graph.node if n.op_type in ("Conv", "Gemm")}
    assert convolutions <= set(layers)
    assert sum(layer.macs_share for layer in layers.values()) == pytest.approx(1)
    assert layers["d"].precision == "float"
    assert "by request" in layers["d"].reason
    assert layers["d"].effect_db is None
    assert layers["p"].layer == "pw", "the name of its weights"
    inside = [layer for layer in layers.values() if layer.precision == "int8"]
    assert all(layer.weights_sqnr_db > 25 for layer in inside)
    assert report.macs_in_int8 == pytest.approx(sum(layer.macs_share for layer in inside))

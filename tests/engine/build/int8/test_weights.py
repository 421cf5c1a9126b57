"""Quantization of weights: the scale of least error, and sums of two products within 16 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper

from engine.build.int8.qdq.weights import MAX_PAIR_SUM, quantize_layer, quantize_weights
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import CPU_PROVIDER

SHAPES = {
    "1x1": ((48, 64, 1, 1), 1),
    "odd channels": ((48, 63, 1, 1), 1),
    "3x3": ((48, 16, 3, 3), 1),
    "stem": ((16, 3, 3, 3), 1),
    "grouped": ((32, 8, 3, 3), 4),
    "depthwise": ((32, 1, 3, 3), 32),
}


def heavy(shape: tuple[int, ...]) -> np.ndarray:
    """Weights with similar neighbors, so that the sums of two products overflow 16 bits."""
    rng = np.random.default_rng(0)
    sign = np.where(rng.random((shape[0], *[1] * (len(shape) - 1))) < 0.5, 1, -1)
    return (sign * rng.uniform(0.5, 1.0, shape)).astype(np.float32)


def conv(group: int) -> NodeProto:
    return helper.make_node("Conv", ["x", "w"], ["y"], group=group)


def relative_error(weights: np.ndarray, quantized: np.ndarray, scales: np.ndarray) -> float:
    kept = quantized * scales.reshape(-1, *[1] * (quantized.ndim - 1))
    return float(((kept - weights) ** 2).sum() / (weights**2).sum())


def test_weights_use_the_scale_of_least_error() -> None:
    weights = np.random.default_rng(0).normal(0, 1, (5, 40))
    weights[0, 0] = 12
    quantized, scales = quantize_weights(weights)
    ours = ((weights - quantized * scales[:, None]) ** 2).sum(axis=1)
    plain = np.abs(weights).max(axis=1, keepdims=True) / 127
    theirs = ((weights - np.round(weights / plain) * plain) ** 2).sum(axis=1)
    assert (ours <= theirs + 1e-12).all()


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "depthwise"])
@pytest.mark.parametrize("kind", ["heavy", "normal"])
def test_pairs_are_bounded_in_the_order_of_accumulation(name: str, kind: str) -> None:
    shape, group = SHAPES[name]
    normal = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    weights = heavy(shape) if kind == "heavy" else normal
    quantized, _ = quantize_layer(conv(group), weights, bound_pairs=True)
    rows = quantized.astype(int).transpose(0, 2, 3, 1).reshape(len(quantized), -1)
    end = rows.shape[1] // 2 * 2
    pairs = rows[:, 0:end:2], rows[:, 1:end:2]
    assert max(np.abs(pairs[0] + pairs[1]).max(), 0) <= MAX_PAIR_SUM
    assert np.abs(rows).max() <= 127


def test_bounded_pairs_have_far_less_error_than_seven_bits() -> None:
    weights = np.random.default_rng(2).normal(0, 1, (64, 256))
    free = relative_error(weights, *quantize_weights(weights))
    pairs = relative_error(weights, *quantize_weights(weights, bound_pairs=True))
    step = np.abs(weights).max(axis=1, keepdims=True) / 63
    seven = float(((np.round(weights / step) * step - weights) ** 2).sum() / (weights**2).sum())
    assert free <= pairs < seven / 2


def test_depthwise_weights_are_not_bounded() -> None:
    shape, group = SHAPES["depthwise"]
    weights = heavy(shape)
    bounded, _ = quantize_layer(conv(group), weights, bound_pairs=True)
    free, _ = quantize_layer(conv(group), weights, bound_pairs=False)
    assert (bounded == free).all()


@pytest.mark.parametrize("name", SHAPES)
def test_the_integer_kernel_adds_bounded_pairs_exactly(name: str) -> None:
    """ONNX Runtime against float64 on the largest activations; a saturated sum would differ."""
    shape, group = SHAPES[name]
    quantized, _ = quantize_layer(conv(group), heavy(shape), bound_pairs=True)
    images, wanted, step = _exact_convolution(quantized, group)
    session = ort.InferenceSession(
        _integer_convolution(images, quantized, group, step), providers=[CPU_PROVIDER]
    )
    found = session.run(None, {"x": images})[0]
    assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("name", SHAPES)
def test_with_exact_sums_full_8_bit_weights_do_not_overflow(name: str, tmp_path: Path) -> None:
    """A build for VNNI must give the same scores on a processor without VNNI."""
    shape, group = SHAPES[name]
    quantized, _ = quantize_layer(conv(group), heavy(shape), bound_pairs=False)
    images, wanted, step = _exact_convolution(quantized, group)
    path = tmp_path / "model.onnx"
    path.write_bytes(_integer_convolution(images, quantized, group, step))
    found = OnnxSession(path, CPU_PROVIDER, 1, exact=True).run(images)
    assert np.abs(found.astype(int) - wanted).max() <= 1


def _exact_convolution(quantized: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray, float]:
    """(images with the largest values, their convolution in uint8, its scale)."""
    rng = np.random.default_rng(3)
    channels = quantized.shape[1] * group
    images = np.where(rng.random((2, channels, 9, 9)) < 0.9, 255, rng.integers(0, 256)).astype("u1")
    exact = torch.nn.functional.conv2d(
        torch.tensor(images.astype(np.float64)),
        torch.tensor(quantized.astype(np.float64)),
        groups=group,
    ).numpy()
    step = np.abs(exact).max() / 120
    return images, np.clip(np.rint(exact / step) + 128, 0, 255), step


def _integer_convolution(images: np.ndarray, weights: np.ndarray, group: int, step: float) -> bytes:
    constants = {
        "xs": np.float32(1),
        "xz": np.uint8(0),
        "w": weights,
        "ws": np.float32(1),
        "wz": np.int8(0),
        "ys": np.float32(step),
        "yz": np.uint8(128),
    }
    node = helper.make_node("QLinearConv", ["x", *constants], ["y"], group=group)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, list(images.shape))],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return made

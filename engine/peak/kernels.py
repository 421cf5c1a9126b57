"""The matrix products whose best speed is the peak: ONNX models with one operator each.

Convolutions have their own kernels, so both matrix products and convolutions are
measured. The sizes are those of middle layers of a ResNet: large enough to use all cores, small
enough for their caches. int8 uses unsigned activations and signed weights, as int8 builds do. The
weights have 7 bits, so that processors without VNNI, which add two products in 16 bits, do not
overflow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from db.enums import Precision
from engine.runtimes.registry import why_not
from engine.specs import DEFAULT_RUNTIME

OPSET = 18
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One operator with its input `x`; `macs`: multiply-accumulates per run.

    `name`: operator and size; `model`: serialized ONNX model with one input `x`.
    """

    name: str
    precision: Precision
    macs: int
    model: bytes
    x: np.ndarray


def all_kernels(runtime: str = DEFAULT_RUNTIME) -> list[Kernel]:
    """All measured products; the fastest one of a precision gives its peak.

    Runtimes other than the default one get plain products, and int8 as a build has it: between
    QuantizeLinear and DequantizeLinear.
    """
    floats = [
        _matmul(512, 512, 512),
        _matmul(784, 512, 512),
        _matmul(1024, 1024, 1024),
        _conv(256, 256, 28),
    ]
    if runtime != DEFAULT_RUNTIME:
        halves = [replace(kernel, precision=Precision.BF16) for kernel in floats]
        products = [*floats, *halves, _qdq_conv(256, 256, 28), _qdq_conv(512, 512, 28)]
        return [kernel for kernel in products if why_not(runtime, kernel.precision) is None]
    return [
        *floats,
        _matmul_integer(784, 1024, 512),
        _matmul_integer(1024, 1024, 1024),
        _qlinear_matmul(512, 2048, 512),
        _qlinear_conv(256, 256, 28),
        _qlinear_conv(512, 512, 28),
    ]


def _matmul(rows: int, depth: int, columns: int) -> Kernel:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = {"w": _floats(depth, columns)}
    macs = rows * depth * columns
    name = f"MatMul {rows} x {depth} x {columns}"
    return _kernel(name, Precision.FP32, macs, node, _floats(rows, depth), weights)


def _conv(inputs: int, outputs: int, side: int) -> Kernel:
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3], pads=[1] * 4)
    weights = {"w": _floats(outputs, inputs, 3, 3)}
    x = _floats(1, inputs, side, side)
    return _kernel(
        _conv_name("Conv", inputs, outputs, side),
        Precision.FP32,
        9 * inputs * outputs * side * side,
        node,
        x,
        weights,
    )


def _matmul_integer(rows: int, depth: int, columns: int) -> Kernel:
    node = helper.make_node("MatMulInteger", ["x", "w", "x_zero", "w_zero"], ["y"])
    weights = {
        "w": _signed(depth, columns),
        "x_zero": np.array(128, np.uint8),
        "w_zero": np.array(0, np.int8),
    }
    return _kernel(
        f"MatMulInteger {rows} x {depth} x {columns}",
        Precision.INT8,
        rows * depth * columns,
        node,
        _unsigned(rows, depth),
        weights,
        TensorProto.INT32,
    )


def _qlinear_matmul(rows: int, depth: int, columns: int) -> Kernel:
    node = helper.make_node("QLinearMatMul", list(_QLINEAR), ["y"])
    weights = _quantized(_signed(depth, columns), columns)
    return _kernel(
        f"QLinearMatMul {rows} x {depth} x {columns}",
        Precision.INT8,
        rows * depth * columns,
        node,
        _unsigned(rows, depth),
        weights,
        TensorProto.UINT8,
    )


def _qlinear_conv(inputs: int, outputs: int, side: int) -> Kernel:
    node = helper.make_node("QLinearConv", list(_QLINEAR), ["y"], kernel_shape=[3, 3], pads=[1] * 4)
    weights = _quantized(_signed(outputs, inputs, 3, 3), outputs)
    return _kernel(
        _conv_name("QLinearConv", inputs, outputs, side),
        Precision.INT8,
        9 * inputs * outputs * side * side,
        node,
        _unsigned(1, inputs, side, side),
        weights,
        TensorProto.UINT8,
    )


def _qdq_conv(inputs: int, outputs: int, side: int) -> Kernel:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["c"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("QuantizeLinear", ["c", "y_scale", "y_zero"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "y_scale", "y_zero"], ["y"]),
    ]
    weights = _quantized(_signed(outputs, inputs, 3, 3), outputs)
    return _kernel(
        _conv_name("Quantized Conv", inputs, outputs, side),
        Precision.INT8,
        9 * inputs * outputs * side * side,
        nodes,
        _floats(1, inputs, side, side),
        weights,
    )


_QLINEAR = ("x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero")


def _quantized(weights: np.ndarray, channels: int) -> Arrays:
    """The constant inputs of a QLinear operator, with one weight scale per output channel."""
    return {
        "x_scale": np.array(0.02, np.float32),
        "x_zero": np.array(128, np.uint8),
        "w": weights,
        "w_scale": np.full(channels, 0.01, np.float32),
        "w_zero": np.zeros(channels, np.int8),
        "y_scale": np.array(0.5, np.float32),
        "y_zero": np.array(128, np.uint8),
    }


def _conv_name(kind: str, inputs: int, outputs: int, side: int) -> str:
    return f"{kind} 3 x 3, {inputs} to {outputs} channels, {side} x {side}"


def _kernel(
    name: str,
    precision: Precision,
    macs: int,
    node: NodeProto | list[NodeProto],
    x: np.ndarray,
    constants: Arrays,
    result: int = TensorProto.FLOAT,
) -> Kernel:
    input_info = helper.make_tensor_value_info(
        "x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape
    )
    output_info = helper.make_tensor_value_info("y", result, None)
    initializers = [
        numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()
    ]
    nodes = node if isinstance(node, list) else [node]
    graph = helper.make_graph(nodes, "peak", [input_info], [output_info], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return Kernel(name, precision, macs, model.SerializeToString(), x)


def _floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _signed(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-64, 64, shape).astype(np.int8)


def _unsigned(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)

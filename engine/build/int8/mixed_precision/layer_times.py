"""Measures what a layer costs in int8 and in float on this machine, and a conversion in between.

Each layer runs alone in a small model at batch 1, with what ONNX Runtime fuses to it or runs behind
it (an activation, a HardSwish): in int8, between maps in channels-last layout; in float; and in
float between two conversions. The difference of the last two is what conversions cost, so that
several layers in float next to each other pay for them only once. Weights are random. Layers of the
same shape are measured once, and the fastest of several runs counts, because interference can only
make a run slower.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.onnx import graph_io
from engine.onnx.graph_view import GraphView
from engine.runtimes.observing import small_session_of

OPSET = 18
RUNS = 24
COMPARED_RUNS, RUNS_IN_A_ROW = 25, 4
TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """Milliseconds per image by layer (its output), and nanoseconds to convert one value."""

    int8_ms: dict[str, float]
    float_ms: dict[str, float]
    conversion_ns: float

    def price_ms(self, layer: str) -> float:
        """Milliseconds that a layer in float takes more than in int8, without conversions."""
        return self.float_ms.get(layer, 0.0) - self.int8_ms.get(layer, 0.0)

    def conversion_ms(self, values: int) -> float:
        """Milliseconds of a conversion of a map of `values` values, in either direction."""
        return self.conversion_ns * values / 1e6


def measure_layer_times(layers: Iterable[str], view: GraphView, threads: int) -> LayerTimes:
    """Times of the convolutions with these outputs; those of unknown shape are left out."""
    shapes = {name: shape for name in layers if (shape := _shape_of(name, view)) is not None}
    measured: dict[str, tuple[float, ...]] = {}
    converted_ms, converted = 0.0, 0
    for shape in shapes.values():
        if shape.key in measured:
            continue
        measured[shape.key] = tuple(
            _time_ms(_layer_model(shape, form), shape.input_of(form), threads) for form in Form
        )
        _, float_ms, between_ms = measured[shape.key]
        converted_ms += max(between_ms - float_ms, 0.0)
        converted += prod(shape.input_map) + shape.output_values
    return LayerTimes(
        {name: measured[shape.key][0] for name, shape in shapes.items()},
        {name: measured[shape.key][1] for name, shape in shapes.items()},
        1e6 * converted_ms / max(converted, 1),
    )


class Form(Enum):
    """How a layer is measured; CONVERTED is float between two 8-bit maps."""

    INT8 = "int8"
    FLOAT = "float"
    CONVERTED = "converted"


@dataclass(frozen=True, slots=True)
class _Shape:
    """What decides the time of a layer; `input_map` is (height, width, channels)."""

    node: NodeProto
    weights: tuple[int, ...]
    input_map: tuple[int, int, int]
    output_values: int
    activation: str
    key: str

    def input_of(self, form: Form) -> np.ndarray:
        """A random image for a form of the layer."""
        height, width, channels = self.input_map
        random = np.random.default_rng(1)
        if form == Form.FLOAT:
            return random.normal(size=(1, channels, height, width)).astype(np.float32)
        return random.integers(0, 255, (1, height, width, channels)).astype(np.uint8)


def _shape_of(name: str, view: GraphView) -> _Shape | None:
    node = view.producers[name]
    source, output = view.shapes.get(node.input[0], []), view.shapes.get(name, [])
    if len(source) != 4 or not all(source[1:]) or not all(output[1:]):
        return None
    channels, height, width = (int(size or 0) for size in source[1:])
    weights = view.constants[node.input[1]].shape
    plain = NodeProto()
    plain.CopyFrom(node)
    del plain.input[:], plain.output[:]
    plain.name = ""
    activation = _activation_of(name, view)
    key = repr((plain.SerializeToString(), weights, height, width, activation))
    values = prod(size or 1 for size in output[1:])
    return _Shape(plain, weights, (height, width, channels), values, activation, key)


def _activation_of(name: str, view: GraphView) -> str:
    consumers = view.consumers.get(name, [])
    if any(consumer.output[0].endswith(GATE_LINE) for consumer in consumers):
        return "HardSwish"
    only = view.only_consumer(name)
    return "Relu" if only is not None and only.op_type in ("Relu", "Clip") else ""


@dataclass(slots=True)
class _Writer:
    """Writes a small model of one layer."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.setdefault(name, numpy_helper.from_array(value, name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def qparams(self, channels: int = 0, zero_point: int = 100) -> list[str]:
        """The scale and zero point of a map, by channel where `channels` is given."""
        shape, name = (channels,) if channels else (), f"{zero_point} of {channels}"
        return [
            self.constant(f"scale {name}", np.full(shape, 0.05, np.float32)),
            self.constant(f"zero {name}", np.full(shape, zero_point, np.uint8)),
        ]

    def weights(self, name: str, shape: tuple[int, ...], in_float: bool) -> list[str]:
        """Random weights and biases."""
        random = np.random.default_rng(0)
        integers = random.integers(-90, 90, shape).astype(np.int8)
        if in_float:
            return [
                self.constant(f"{name}/w", (integers * 1e-3).astype(np.float32)),
                self.constant(f"{name}/b", np.zeros(shape[0], np.float32)),
            ]
        found = []
        for part, stored in (("w", integers), ("b", np.zeros(shape[0], np.int32))):
            scale = 1e-3 if part == "w" else 0.05e-3
            inputs = [
                self.constant(f"{name}/{part}/stored", stored),
                self.constant(f"{name}/{part}/scale", np.full(shape[0], scale, np.float32)),
                self.constant(f"{name}/{part}/zero", np.zeros(shape[0], stored.dtype)),
            ]
            found.append(self.add("DequantizeLinear", inputs, f"{name}/{part}", axis=0))
        return found

    def round(self, tensor: str) -> str:
        """Quantizes a map and converts it back."""
        stored = self.add("QuantizeLinear", [tensor, *self.qparams()], f"{tensor}/stored")
        return self.add("DequantizeLinear", [stored, *self.qparams()], f"{tensor}/back")

    def read(self, form: Form, channels: int) -> str:
        """The float map that the layer reads; by channel where the layer is in float."""
        if form == Form.FLOAT:
            return "input"
        self.add("Transpose", ["input"], "first", perm=TO_FIRST)
        by_channel = {"axis": 1} if form == Form.CONVERTED else {}
        qparams = self.qparams(channels if form == Form.CONVERTED else 0)
        return self.add("DequantizeLinear", ["first", *qparams], "x", **by_channel)

    def model(self, form: Form, source: tuple[int, int, int], result: str) -> ModelProto:
        """The model that ends with `result`; it is quantized, unless the form is float."""
        height, width, channels = source
        if form == Form.FLOAT:
            shape, data_type = (1, channels, height, width), TensorProto.FLOAT
            self.add("Identity", [result], "output")
        else:
            shape, data_type = (1, height, width, channels), TensorProto.UINT8
            # ONNX Runtime fuses a Relu to an integer convolution where its zero is stored as 0.
            stored = self.add("QuantizeLinear", [result, *self.qparams(zero_point=0)], "stored")
            self.add("Transpose", [stored], "output", perm=TO_LAST)
        graph = helper.make_graph(
            self.nodes,
            "layer",
            [helper.make_tensor_value_info("input", data_type, shape)],
            [helper.make_tensor_value_info("output", data_type, None)],
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _layer_model(shape: _Shape, form: Form) -> ModelProto:
    writer, in_float = _Writer(), form != Form.INT8
    layer = NodeProto()
    layer.CopyFrom(shape.node)
    x = writer.read(form, shape.input_map[2])
    layer.input[:] = [x, *writer.weights("layer", shape.weights, in_float)]
    layer.output[:] = ["y"]
    layer.name = "y"
    writer.nodes.append(layer)
    result = "y"
    if shape.activation == "Relu":
        result = writer.add("Relu", ["y"], "z")
    if shape.activation == "HardSwish" and in_float:
        gate = writer.add("HardSigmoid", ["y"], "gate", alpha=1 / 6, beta=0.5)
        result = writer.add("Mul", ["y", gate], "z")
    elif shape.activation == "HardSwish":
        outputs = shape.weights[0]
        y = writer.round("y")
        inputs = [y, *writer.weights("line", (outputs, 1, 1, 1), in_float)]
        writer.add("Conv", inputs, "line", group=outputs, kernel_shape=[1, 1])
        bounds = [writer.constant(f"bound{b}", np.array(b, np.float32)) for b in (0, 1)]
        gate = writer.round(writer.add("Clip", ["line", *bounds], "gate"))
        result = writer.add("Mul", [y, gate], "z")
    return writer.model(form, shape.input_map, result)


def _time_ms(model: ModelProto, image: np.ndarray, threads: int) -> float:
    """The fastest of RUNS runs, in milliseconds, after a warm-up."""
    session = small_session_of(model, threads)
    session.run(None, {"input": image})
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        session.run(None, {"input": image})
        taken.append(time.perf_counter() - started)
    return min(taken) * 1e3


def compare_speed(first: ModelProto, second: ModelProto, images: np.ndarray, threads: int) -> float:
    """How many times as fast as the first model the second one is, on one image at a time.

    A first look, in this process: both alternate, and the fastest run of each counts. A benchmark
    measures in processes of their own.
    """
    sessions = [small_session_of(model, threads) for model in (first, second)]
    taken: list[list[float]] = [[], []]
    for number in range(COMPARED_RUNS + 1):
        for session, durations in zip(sessions, taken, strict=True):
            for _ in range(RUNS_IN_A_ROW):
                started = time.perf_counter()
                session.run(None, {graph_io.INPUT: images[number % len(images)][None]})
                durations.append(time.perf_counter() - started)
    return min(taken[0]) / min(taken[1])

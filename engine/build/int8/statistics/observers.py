"""Observers: nodes added to the graph that compute statistics per channel and image.

Feature maps are observed by pooling. ONNX Runtime pools in the blocked layout of its convolutions,
so no map is copied, and the outputs are small. Squares cost more and are optional. Three things are
not observed: the minimum of a Relu (0), a map multiplied by an SE gate (computed from the
statistics of the map and the gate), and a tensor that only a Relu reads (it is never quantized).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.int8.equalization.channel_groups import ABSORBING_OPS, find_excitation
from engine.errors import BuildFailed
from engine.onnx.graph_view import GraphView, clip_bounds, view_of


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """float64 arrays (images, channels of all tensors); `square` is the mean square, optional."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    square: np.ndarray | None


@dataclass(frozen=True, slots=True)
class GatedMap:
    """A map that is computed: `x` times a `gate` with one value per image and channel."""

    x: str
    gate: str


@dataclass(frozen=True, slots=True)
class Observers:
    """`model` has observers as outputs, which `read_outputs` reads; `names` in column order."""

    model: ModelProto
    squares: bool
    names: tuple[str, ...]
    outputs: dict[str, dict[str, str]]
    scores: str | None
    gated_maps: dict[str, GatedMap]
    layer_labels: dict[str, str]

    def describe_tensor(self, name: str) -> str:
        """A tensor in messages: its name, and the layer that produces it."""
        return f"Tensor {name!r}{self.layer_labels.get(name, '')}"

    def _require_image_rows(self, values: Sequence[np.ndarray]) -> None:
        """Raises BuildFailed where an output does not have one row per image: images are mixed."""
        rows = max(map(len, values), default=0)
        for output, value in zip(self.model.graph.output, values, strict=True):
            if len(value) != rows:
                name = output.name.rpartition("/")[0]
                raise BuildFailed(
                    f"{self.describe_tensor(name)} does not have one row per image, so its int8 "
                    f"range cannot be calibrated; build the model in fp32."
                )

    def read_outputs(self, values: Sequence[np.ndarray]) -> tuple[ImageStatistics, list[int]]:
        """Statistics of each image from session outputs, and the number of channels per tensor."""
        self._require_image_rows(values)
        values_by_output = {
            output.name: value.reshape(len(value), -1).astype(np.float64)
            for output, value in zip(self.model.graph.output, values, strict=True)
            if output.name != self.scores
        }
        statistics = {
            name: _from_outputs(outputs, values_by_output, self.squares)
            for name, outputs in self.outputs.items()
        }
        for name, product in self.gated_maps.items():
            statistics[name] = _times_gate(statistics[product.x], statistics[product.gate][2])
        in_order = [statistics[name] for name in self.names]
        arrays = [
            np.concatenate([arrays_of_tensor[kind] for arrays_of_tensor in in_order], axis=1)
            for kind in range(4)
        ]
        columns = ImageStatistics(
            arrays[0], arrays[1], arrays[2], arrays[3] if self.squares else None
        )
        return columns, [arrays_of_tensor[0].shape[1] for arrays_of_tensor in in_order]


def observed_tensors(model: ModelProto, view: GraphView) -> list[str]:
    """Names of the tensors whose statistics quantization needs, in graph order."""
    names = [value.name for value in model.graph.input]
    names += [output for node in model.graph.node for output in node.output]
    return [name for name in names if view.is_measurable(name) and _is_needed(name, view)]


def _is_needed(name: str, view: GraphView) -> bool:
    """Whether a tensor may be quantized or is a layer's output; False for what a Relu fuses."""
    producer, consumer = view.producers.get(name), view.only_consumer(name)
    is_layer_output = producer is not None and producer.op_type in ABSORBING_OPS
    return is_layer_output or consumer is None or consumer.op_type != "Relu"


def add_observers(
    model: ModelProto, names: Iterable[str], squares: bool = True, scores: bool = False
) -> Observers:
    """Copies `model` and adds observers of the tensors in `names` as its outputs.

    With `scores`, the first output of the model remains its first output.
    """
    view = view_of(model)
    observed = ModelProto()
    observed.CopyFrom(model)
    del observed.graph.output[1 if scores else 0 :]
    tensor_names = tuple(names)
    gated_maps = {
        name: gated
        for name in tensor_names
        if (gated := _find_gated_map(name, view, frozenset(tensor_names)))
    }
    writer = _Writer(observed, view, squares)
    outputs = {name: writer.observe(name) for name in tensor_names if name not in gated_maps}
    kept = model.graph.output[0].name if scores else None
    labels = _layer_labels(model)
    return Observers(observed, squares, tensor_names, outputs, kept, gated_maps, labels)


def _layer_labels(model: ModelProto) -> dict[str, str]:
    """Tensor -> ` of layer 'blocks.0.conv'`, by the name of its weights, for messages."""
    return {
        node.output[0]: f" of layer {node.input[1].removesuffix('.weight')!r}"
        for node in model.graph.node
        if node.op_type in ABSORBING_OPS
    }


def _find_gated_map(name: str, view: GraphView, names: frozenset[str]) -> GatedMap | None:
    producer = view.producers.get(name)
    excitation = find_excitation(producer, view) if producer is not None else None
    if excitation is None or not {excitation.x, excitation.gate} <= names:
        return None
    x_producer = view.producers.get(excitation.x)
    # A map that is itself such a product is observed, so that no order of computing is needed.
    if x_producer is not None and find_excitation(x_producer, view) is not None:
        return None
    return GatedMap(excitation.x, excitation.gate)


@dataclass(slots=True)
class _Writer:
    """Adds observer nodes; `observe` returns the output name of each statistic."""

    model: ModelProto
    view: GraphView
    squares: bool

    def observe(self, name: str) -> dict[str, str]:
        """Statistic -> output name; a vector has one output, `value`."""
        if self.view.is_vector(name):
            return {"value": self._add_output("Identity", name, f"{name}/value")}
        shape = self.view.shapes[name]
        if len(shape) != 4 or not all(shape[1:]):
            return self._observe_general(name, len(shape))
        outputs = {
            "high": self._add_output("GlobalMaxPool", name, f"{name}/high"),
            "mean": self._add_output("GlobalAveragePool", name, f"{name}/mean"),
        }
        if not _is_never_negative(self.view.producers.get(name), self.view):
            outputs["low"] = self._reduce("ReduceMin", name, f"{name}/low", (2, 3))
        if self.squares:
            self._add_node("Mul", [name, name], f"{name}/squared")
            outputs["square"] = self._add_output(
                "GlobalAveragePool", f"{name}/squared", f"{name}/square"
            )
        return outputs

    def _observe_general(self, name: str, rank: int) -> dict[str, str]:
        """Observers of tensors that are neither feature maps nor vectors."""
        axes = tuple(range(2, rank))
        outputs = {
            "low": self._reduce("ReduceMin", name, f"{name}/low", axes),
            "high": self._reduce("ReduceMax", name, f"{name}/high", axes),
            "mean": self._reduce("ReduceMean", name, f"{name}/mean", axes),
        }
        if self.squares:
            self._add_node("Mul", [name, name], f"{name}/squared")
            outputs["square"] = self._reduce(
                "ReduceMean", f"{name}/squared", f"{name}/square", axes
            )
        return outputs

    def _reduce(self, op: str, name: str, output: str, axes: tuple[int, ...]) -> str:
        constant = f"{output}/axes"
        self.model.graph.initializer.append(
            numpy_helper.from_array(np.array(axes, np.int64), constant)
        )
        self._add_node(op, [name, constant], output, keepdims=1)
        return self._declare_output(output)

    def _add_output(self, op: str, name: str, output: str) -> str:
        self._add_node(op, [name], output)
        return self._declare_output(output)

    def _add_node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.model.graph.node.append(helper.make_node(op, inputs, [output], output, **attributes))

    def _declare_output(self, output: str) -> str:
        value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        self.model.graph.output.append(value)
        return output


def _from_outputs(
    outputs: dict[str, str], values_by_output: dict[str, np.ndarray], squares: bool
) -> tuple[np.ndarray, ...]:
    """(low, high, mean, square) of one tensor, (images, channels); no square without `squares`."""
    values = {
        kind: values_by_output[name] for kind, name in outputs.items() if name in values_by_output
    }
    if "value" in values:
        exact = values["value"]
        return exact, exact, exact, exact**2
    mean = values["mean"]
    low = values["low"] if "low" in values else np.zeros_like(mean)
    return low, values["high"], mean, values["square"] if squares else mean


def _times_gate(x_statistics: tuple[np.ndarray, ...], gate: np.ndarray) -> tuple[np.ndarray, ...]:
    """The statistics of x * gate, from those of x."""
    low, high, mean, square = x_statistics
    ends = low * gate, high * gate
    return np.minimum(*ends), np.maximum(*ends), mean * gate, square * gate**2


def _is_never_negative(producer: NodeProto | None, view: GraphView) -> bool:
    if producer is None:
        return False
    if producer.op_type == "Clip":
        return clip_bounds(producer, view.constants)[0] == 0
    return producer.op_type in ("Relu", "Sigmoid", "HardSigmoid")

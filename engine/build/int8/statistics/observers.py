"""What calibration measures of a tensor, as nodes of the graph: a few numbers a channel and image.

Feature maps are measured by pooling. ONNX Runtime pools in the blocked layout that its convolutions
write, so nothing is copied back for it, and what leaves the graph is small. Squares cost more, and
are left out of a graph that is not to give them. Three things need no measuring:
a Relu gives nothing below 0, a map that an SE gate scales follows from the map and the gate, and
what only a Relu reads is neither stored nor weighed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.int8.equalization.channel_groups import ABSORBING, excitation_of
from engine.errors import BuildFailed
from engine.onnx.graph_view import GraphView, clip_bounds, view_of


@dataclass(frozen=True, slots=True)
class Columns:
    """float64 (images, channels of all tensors in turn); `square` is the mean square, if asked."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    square: np.ndarray | None


@dataclass(frozen=True, slots=True)
class Scaled:
    """A map that follows from another: `x` times a `gate` of one number an image and channel."""

    x: str
    gate: str


@dataclass(frozen=True, slots=True)
class Probes:
    """`model` gives what `read` understands; `names` are in the order of the columns."""

    model: ModelProto
    squares: bool
    names: tuple[str, ...]
    known: dict[str, dict[str, str]]
    scaled: dict[str, Scaled]
    layers: dict[str, str]

    def place_of(self, name: str) -> str:
        """How a message speaks of a tensor: with the layer that makes it, where one does."""
        return f"Tensor {name!r}{self.layers.get(name, '')}"

    def _require_rows(self, values: Sequence[np.ndarray]) -> None:
        """Each measured value has a row for each image, or the graph mixes images."""
        rows = max(map(len, values), default=0)
        for output, value in zip(self.model.graph.output, values, strict=True):
            if len(value) != rows:
                name = output.name.rpartition("/")[0]
                raise BuildFailed(
                    f"{self.place_of(name)} does not hold one row for each image, so int8 ranges "
                    f"cannot be taken of it; build it in fp32."
                )

    def read(self, values: Sequence[np.ndarray]) -> tuple[Columns, list[int]]:
        """Columns of some images, and how many belong to each tensor."""
        self._require_rows(values)
        given = {
            output.name: value.reshape(len(value), -1).astype(np.float64)
            for output, value in zip(self.model.graph.output, values, strict=True)
        }
        found = {name: _measured(how, given, self.squares) for name, how in self.known.items()}
        for name, scaled in self.scaled.items():
            found[name] = _times(found[scaled.x], found[scaled.gate][2])
        ordered = [found[name] for name in self.names]
        joined = [np.concatenate([one[kind] for one in ordered], axis=1) for kind in range(4)]
        columns = Columns(joined[0], joined[1], joined[2], joined[3] if self.squares else None)
        return columns, [one[0].shape[1] for one in ordered]


def wanted(model: ModelProto, view: GraphView) -> list[str]:
    """The tensors whose statistics anybody asks for, in the order of the graph."""
    names = [value.name for value in model.graph.input]
    names += [output for node in model.graph.node for output in node.output]
    return [name for name in names if view.is_measurable(name) and _matters(name, view)]


def _matters(name: str, view: GraphView) -> bool:
    """Whether it may be stored, or belongs to a convolution; what fuses into a Relu does not."""
    maker, reader = view.makers.get(name), view.only_reader(name)
    made = maker is not None and maker.op_type in ABSORBING
    return made or reader is None or reader.op_type != "Relu"


def probe(model: ModelProto, names: Iterable[str], squares: bool = True) -> Probes:
    """A copy of `model` whose outputs are what is measured of the tensors in `names`."""
    view = view_of(model)
    probed = ModelProto()
    probed.CopyFrom(model)
    del probed.graph.output[:]
    order = tuple(names)
    scaled = {name: how for name in order if (how := _scaled(name, view, frozenset(order)))}
    writer = _Writer(probed, view, squares)
    known = {name: writer.measure(name) for name in order if name not in scaled}
    return Probes(probed, squares, order, known, scaled, _layers(model))


def _layers(model: ModelProto) -> dict[str, str]:
    """Of what a convolution or Gemm makes: ` of layer 'blocks.0.conv'`, by its weights."""
    return {
        node.output[0]: f" of layer {node.input[1].removesuffix('.weight')!r}"
        for node in model.graph.node
        if node.op_type in ABSORBING
    }


def _scaled(name: str, view: GraphView, measured: frozenset[str]) -> Scaled | None:
    maker = view.makers.get(name)
    found = excitation_of(maker, view) if maker is not None else None
    if found is None or not {found.x, found.gate} <= measured:
        return None
    inner = view.makers.get(found.x)
    # One step only: a map that is itself a product would have to be worked out before.
    if inner is not None and excitation_of(inner, view) is not None:
        return None
    return Scaled(found.x, found.gate)


@dataclass(slots=True)
class _Writer:
    """Adds measuring nodes; `measure` gives the output that holds each kind of number."""

    model: ModelProto
    view: GraphView
    squares: bool

    def measure(self, name: str) -> dict[str, str]:
        """Kind of number -> output. One output of kind `value` where the tensor is a vector."""
        if self.view.is_vector(name):
            return {"value": self._give("Identity", name, f"{name}/value")}
        shape = self.view.shapes[name]
        if len(shape) != 4 or not all(shape[1:]):
            return self._general(name, len(shape))
        made = {
            "high": self._give("GlobalMaxPool", name, f"{name}/high"),
            "mean": self._give("GlobalAveragePool", name, f"{name}/mean"),
        }
        if not _never_negative(self.view.makers.get(name), self.view):
            made["low"] = self._reduce("ReduceMin", name, f"{name}/low", (2, 3))
        if self.squares:
            self._add("Mul", [name, name], f"{name}/squared")
            made["square"] = self._give("GlobalAveragePool", f"{name}/squared", f"{name}/square")
        return made

    def _general(self, name: str, rank: int) -> dict[str, str]:
        """Of tensors that are no feature maps."""
        axes = tuple(range(2, rank))
        made = {
            "low": self._reduce("ReduceMin", name, f"{name}/low", axes),
            "high": self._reduce("ReduceMax", name, f"{name}/high", axes),
            "mean": self._reduce("ReduceMean", name, f"{name}/mean", axes),
        }
        if self.squares:
            self._add("Mul", [name, name], f"{name}/squared")
            made["square"] = self._reduce("ReduceMean", f"{name}/squared", f"{name}/square", axes)
        return made

    def _reduce(self, op: str, name: str, output: str, axes: tuple[int, ...]) -> str:
        constant = f"{output}/axes"
        self.model.graph.initializer.append(
            numpy_helper.from_array(np.array(axes, np.int64), constant)
        )
        self._add(op, [name, constant], output, keepdims=1)
        return self._leave(output)

    def _give(self, op: str, name: str, output: str) -> str:
        self._add(op, [name], output)
        return self._leave(output)

    def _add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.model.graph.node.append(helper.make_node(op, inputs, [output], output, **attributes))

    def _leave(self, output: str) -> str:
        value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        self.model.graph.output.append(value)
        return output


def _measured(
    outputs: dict[str, str], given: dict[str, np.ndarray], squares: bool
) -> tuple[np.ndarray, ...]:
    """(low, high, mean, square) of one tensor, each (images, channels); no square unless asked."""
    values = {kind: given[name] for kind, name in outputs.items() if name in given}
    if "value" in values:
        exact = values["value"]
        return exact, exact, exact, exact**2
    mean = values["mean"]
    low = values["low"] if "low" in values else np.zeros_like(mean)
    return low, values["high"], mean, values["square"] if squares else mean


def _times(of_x: tuple[np.ndarray, ...], gate: np.ndarray) -> tuple[np.ndarray, ...]:
    """As _measured, of x * gate."""
    low, high, mean, square = of_x
    ends = low * gate, high * gate
    return np.minimum(*ends), np.maximum(*ends), mean * gate, square * gate**2


def _never_negative(maker: NodeProto | None, view: GraphView) -> bool:
    if maker is None:
        return False
    if maker.op_type == "Clip":
        return clip_bounds(maker, view.constants)[0] == 0
    return maker.op_type in ("Relu", "Sigmoid", "HardSigmoid")

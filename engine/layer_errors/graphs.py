"""What is read from an int8 model: its quantized tensors, and two graphs that give them.

The observed graph is the model with its quantized tensors as outputs: errors accumulate in it. The
isolated graph is cut at every quantized tensor, which becomes an input: each part computes from
exact integers, so its error is its own. The nodes stay as they are, so a runtime fuses them as in
the model itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.build.int8.qdq.placement import WEIGHTED_OPS

STORED, OWN = "/stored", "/own"
SAME_SCALE = 1e-4
HARD_GATES = frozenset({"HardSigmoid", "HardSwish"})


@dataclass(frozen=True, slots=True)
class Watched:
    """A tensor whose error is told; `output` is its name in the graphs.

    A quantized tensor has the `scale` and `zero_point` with which it is read (arrays of one value,
    or of one for each channel); a float one has none. `written_scale` and `written_zero_point` are
    those with which it is written, where they are others. `saturates`: a HardSwish or hard gate
    reads it, which is constant beyond its ends, so clipping costs nothing there. `nodes` compute it
    from other watched tensors; the first are the nearest.
    """

    tensor: str
    output: str
    nodes: tuple[NodeProto, ...]
    scale: np.ndarray | None = None
    zero_point: np.ndarray | None = None
    written_scale: float | None = None
    written_zero_point: int | None = None
    saturates: bool = False

    @property
    def is_quantized(self) -> bool:
        """Whether it is stored in 8 bits."""
        return self.scale is not None

    @property
    def is_symmetric(self) -> bool:
        """Whether 0 is the middle of the levels."""
        return self.zero == 0 and self.zero_point is not None and self.zero_point.dtype == np.int8

    @property
    def zero(self) -> int | None:
        """The zero point; None for a float tensor, and where each channel has its own."""
        if self.zero_point is None or self.zero_point.size != 1:
            return None
        return int(self.zero_point.reshape(()))

    def read(self, stored: np.ndarray) -> np.ndarray:
        """The values that consumers read, float32."""
        if self.scale is None or self.zero_point is None:
            return stored.astype(np.float32)
        scale, zero_point = (_by_channel(a, stored.ndim) for a in (self.scale, self.zero_point))
        levels = stored.astype(np.int32) - zero_point.astype(np.int32)
        return np.asarray(levels * scale, np.float32)

    def store(self, values: np.ndarray) -> np.ndarray:
        """Values as they are stored: rounded to the nearest level and clipped."""
        assert self.scale is not None
        assert self.zero_point is not None
        scale, zero_point = (_by_channel(a, values.ndim) for a in (self.scale, self.zero_point))
        limits = np.iinfo(self.zero_point.dtype)
        levels = np.rint(values / scale) + zero_point.astype(np.int32)
        return np.clip(levels, limits.min, limits.max).astype(self.zero_point.dtype)


def _by_channel(values: np.ndarray, rank: int) -> np.ndarray:
    flat = values.reshape(-1)
    return flat.reshape(1, -1, *[1] * (rank - 2)) if len(flat) > 1 else flat.reshape(())


def watched_tensors(model: ModelProto) -> list[Watched]:
    """The quantized tensors, the outputs of layers in float, and the scores, in graph order."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    readers, saturating = _dequantizers(model), _read_by_hard_gates(model)
    ends = {value.name for value in graph.output}
    found = []
    for node in graph.node:
        output = node.output[0]
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants:
            reader = readers.get(output, node)
            scale = numpy_helper.to_array(constants[reader.input[1]])
            zero_point = _zero_point(reader, node, constants)
            tensor = output.removesuffix(STORED) if output.endswith(STORED) else node.input[0]
            other = _other_scale(numpy_helper.to_array(constants[node.input[1]]), scale)
            found.append(
                Watched(
                    tensor=tensor,
                    output=output,
                    nodes=(node,),
                    scale=scale,
                    zero_point=zero_point,
                    written_scale=other,
                    written_zero_point=_other_zero_point(
                        _zero_point(node, reader, constants), zero_point
                    ),
                    saturates=output in saturating,
                )
            )
        elif output in ends or _is_float_layer(node, producers, constants):
            found.append(Watched(output, output, (node,)))
    outputs = {one.output for one in found}
    return [replace(one, nodes=tuple(_behind(one.nodes[0], producers, outputs))) for one in found]


def _zero_point(
    first: NodeProto, second: NodeProto, constants: Mapping[str, TensorProto]
) -> np.ndarray:
    """The zero point of the first, or else of the second; unsigned 0 where both leave it out."""
    for node in (first, second):
        if len(node.input) > 2 and node.input[2]:
            return np.asarray(numpy_helper.to_array(constants[node.input[2]]))
    return np.zeros((), np.uint8)


def _other_scale(written: np.ndarray, read: np.ndarray) -> float | None:
    """The scale of a quantizer if its dequantizer has another; None for factors by channel."""
    a, b = (np.unique(scales) for scales in (written, read))
    if len(a) != 1 or len(b) != 1 or np.isclose(a[0], b[0], rtol=SAME_SCALE, atol=0):
        return None
    return float(a[0])


def _other_zero_point(written: np.ndarray, read: np.ndarray) -> int | None:
    """The zero point of a quantizer if its dequantizer has another."""
    a, b = (np.unique(values) for values in (written, read))
    return None if len(a) != 1 or len(b) != 1 or a[0] == b[0] else int(a[0])


def _read_by_hard_gates(model: ModelProto) -> set[str]:
    """Stored tensors that a hard gate reads: 0 below its lower end, 1 above its upper one."""
    sources = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
    }
    return {
        sources[node.input[0]]
        for node in model.graph.node
        if (node.op_type in HARD_GATES or node.output[0].endswith(GATE_LINE))
        and node.input[0] in sources
    }


def _is_float_layer(
    node: NodeProto, producers: Mapping[str, NodeProto], constants: Mapping[str, TensorProto]
) -> bool:
    return node.op_type in WEIGHTED_OPS and node.input[1] in constants


def _dequantizers(model: ModelProto) -> dict[str, NodeProto]:
    """Stored tensor -> the first DequantizeLinear that reads it, also through a Pad."""
    padded = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Pad"}
    found: dict[str, NodeProto] = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            found.setdefault(padded.get(node.input[0], node.input[0]), node)
    return found


def _behind(
    last: NodeProto, producers: Mapping[str, NodeProto], outputs: set[str]
) -> Iterator[NodeProto]:
    """`last` and the nodes that it needs, up to the watched tensors before it."""
    seen: set[str] = set()
    pending = [last]
    while pending:
        node = pending.pop(0)
        if node.output[0] in seen:
            continue
        seen.add(node.output[0])
        yield node
        pending += [
            producers[name] for name in node.input if name in producers and name not in outputs
        ]


def unchanged(model: ModelProto) -> ModelProto:
    """The model for one image, with its own outputs only: fused as users run it."""
    return _for_one_image(model)


def observed(model: ModelProto, watched: list[Watched]) -> ModelProto:
    """The model for one image, with the watched tensors as its outputs, in their order."""
    copied = _for_one_image(model)
    _set_outputs(copied, [(one.output, _type_of(one)) for one in watched])
    return copied


def isolated(
    model: ModelProto, watched: list[Watched], shapes: Mapping[str, tuple[int, ...]]
) -> ModelProto:
    """The model for one image, cut at its quantized tensors, which are inputs, too.

    `shapes`: of each quantized tensor, by its output name. The outputs are in the order of
    `watched`.
    """
    copied = _for_one_image(model)
    quantized = {one.output: one for one in watched if one.is_quantized}
    for node in copied.graph.node:
        if node.op_type == "QuantizeLinear" and node.output[0] in quantized:
            node.output[0] += OWN
    read = {name for node in copied.graph.node for name in node.input}
    for name, one in quantized.items():
        if name in read:
            shape = [1, *shapes[name][1:]]
            value = helper.make_tensor_value_info(name, _type_of(one), shape)
            copied.graph.input.append(value)
    for value in list(copied.graph.input):
        if value.name not in read:
            copied.graph.input.remove(value)
    outputs = [(one.output + OWN * one.is_quantized, _type_of(one)) for one in watched]
    _set_outputs(copied, outputs)
    return copied


def _for_one_image(model: ModelProto) -> ModelProto:
    copied = ModelProto()
    copied.CopyFrom(model)
    del copied.graph.value_info[:]
    for value in copied.graph.input:
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return copied


def _set_outputs(model: ModelProto, outputs: list[tuple[str, int]]) -> None:
    del model.graph.output[:]
    for name, kind in outputs:
        model.graph.output.append(helper.make_tensor_value_info(name, kind, None))


def _type_of(one: Watched) -> int:
    if one.zero_point is None:
        return int(TensorProto.FLOAT)
    return int(helper.np_dtype_to_tensor_dtype(one.zero_point.dtype))

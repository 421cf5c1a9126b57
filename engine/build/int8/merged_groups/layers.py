"""Finds the grouped convolutions of an int8 model, and merges their groups; no value changes.

ONNX Runtime computes a grouped integer convolution as one matrix product for each group. A product
with 4 or 8 output channels fills a small part of its kernel, so wider groups are faster although
they multiply zeros: `factor` neighboring groups become one, whose weights are zero (their zero
point) outside the blocks on its diagonal. The integer sums are equal, and so are the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from engine.onnx.graph_view import GraphView, attributes_of, group_count
from engine.onnx.merged_groups import mark_merged


@dataclass(frozen=True, slots=True)
class ConvolutionShape:
    """What decides the time of a grouped convolution, for one image. The field names are stored.

    `side` is (height, width) of the input, `pads` has the order of ONNX.
    """

    inputs: int
    outputs: int
    groups: int
    side: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]

    @property
    def group_inputs(self) -> int:
        """Input channels of each group."""
        return self.inputs // self.groups

    def factors(self, most_group_inputs: int) -> list[int]:
        """Numbers of groups that may become one, ascending from 1."""
        most = max(1, most_group_inputs // self.group_inputs)
        return [n for n in range(1, min(self.groups, most) + 1) if self.groups % n == 0]

    def __str__(self) -> str:
        """`128 to 128 channels, 32 groups, 3x3, stride 1, 56x56`."""
        size = "x".join(map(str, self.side))
        kernel = "x".join(map(str, self.kernel))
        dilation = f", dilation {max(self.dilations)}" if max(self.dilations) > 1 else ""
        return (
            f"{self.inputs} to {self.outputs} channels, {self.groups} groups, {kernel}, "
            f"stride {max(self.strides)}{dilation}, {size}"
        )


def find_grouped_convolutions(
    model: ModelProto, view: GraphView, even_only: bool = False
) -> dict[str, ConvolutionShape]:
    """Output tensor -> shape of each integer convolution with groups of several channels.

    `model` is in QDQ format; `view` is of its float graph, with the shapes of all tensors.
    Depthwise convolutions have a kernel of their own and are left alone. `even_only`: only groups
    with an even number of input channels, whose weights stay in the same pairs when merged.
    """
    weights = _integer_weights(model)
    found = {}
    for node in model.graph.node:
        tensor = weights.get(node.input[1]) if _is_grouped(node) else None
        if tensor is None or node.output[0] not in view.producers:
            continue
        shape = _shape_of(node, tensor, view)
        if shape is not None and not (even_only and shape.group_inputs % 2):
            found[node.output[0]] = shape
    return found


def merge_groups(model: ModelProto, factors: dict[str, int]) -> int:
    """Merges groups in place, by output tensor; returns the bytes of zeros that were added."""
    weights, added = _integer_weights(model), 0
    for node in model.graph.node:
        factor = factors.get(node.output[0], 1) if node.op_type == "Conv" else 1
        if factor == 1:
            continue
        tensor, groups = weights[node.input[1]], group_count(node)
        if groups % factor:
            raise ValueError(f"{groups} groups of {node.output[0]} do not divide by {factor}")
        narrow = numpy_helper.to_array(tensor)
        wide = widen(narrow, groups, factor)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
        next(a for a in node.attribute if a.name == "group").i = groups // factor
        mark_merged(node, factor)
        added += wide.nbytes - narrow.nbytes
    return added


def widen(weights: np.ndarray, groups: int, factor: int) -> np.ndarray:
    """Weights (out, in / groups, kh, kw) for groups / factor groups: zero outside the diagonal."""
    outputs, group_inputs, *kernel = weights.shape
    blocks = weights.reshape(groups // factor, factor, outputs // groups, group_inputs, *kernel)
    wide = np.zeros((*blocks.shape[:3], factor, group_inputs, *kernel), weights.dtype)
    for position in range(factor):
        wide[:, position, :, position] = blocks[:, position]
    return wide.reshape(outputs, factor * group_inputs, *kernel)


def _is_grouped(node: NodeProto) -> bool:
    return node.op_type == "Conv" and group_count(node) > 1


def _integer_weights(model: ModelProto) -> dict[str, TensorProto]:
    """Dequantized tensor -> its int8 constant, where it is used once and its zero points are 0."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    uses: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    found = {}
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear" or len(node.input) < 3:
            continue
        stored, zeros = constants.get(node.input[0]), constants.get(node.input[2])
        if stored is None or zeros is None or stored.data_type != TensorProto.INT8:
            continue
        once = uses[node.input[0]] == uses.get(node.output[0]) == 1
        if once and not numpy_helper.to_array(zeros).any():
            found[node.output[0]] = stored
    return found


def _shape_of(node: NodeProto, weights: TensorProto, view: GraphView) -> ConvolutionShape | None:
    """The shape of a convolution; None for a depthwise one, and where the input has no fixed size.

    Padding by `auto_pad` is left alone: no exporter of these networks writes it.
    """
    source = view.shapes.get(view.producers[node.output[0]].input[0], [])
    outputs, group_inputs, *kernel = weights.dims
    groups, attributes = group_count(node), attributes_of(node)
    depthwise = group_inputs == 1 and outputs == groups
    side = [size for size in source[2:] if size]
    unpadded = attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    if depthwise or len(kernel) != 2 or len(side) != 2 or not unpadded:
        return None

    def numbers(name: str, usual: list[int]) -> tuple[int, ...]:
        return tuple(attributes.get(name, usual))  # type: ignore[arg-type]

    return ConvolutionShape(
        inputs=groups * group_inputs,
        outputs=outputs,
        groups=groups,
        side=(side[0], side[1]),
        kernel=(kernel[0], kernel[1]),
        strides=numbers("strides", [1, 1]),  # type: ignore[arg-type]
        pads=numbers("pads", [0, 0, 0, 0]),  # type: ignore[arg-type]
        dilations=numbers("dilations", [1, 1]),  # type: ignore[arg-type]
    )

"""Layout of the int8 graph for ONNX Runtime's kernels; no value changes.

ONNX Runtime's integer convolutions use the channels-last layout, and their fast kernels read four
channels at a time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.int8.targets import Target
from engine.onnx import graph_io
from engine.onnx.graph_view import GraphView, attributes_of, group_count

CHANNELS_AT_A_TIME = 4
TO_CHANNELS_LAST = (0, 2, 3, 1)


def arrange_channels_last(model: ModelProto, view: GraphView, target: Target) -> None:
    """Prepares the layout of an int8 model, in place; `view` is of its float graph."""
    if not target.fuses_only_in_integers:
        return
    keep_channels_last_at_end(model, view)
    # The bounds on pairs of weights hold for the order of three channels, not of four.
    if not target.adds_pairs_in_16_bits:
        pad_image_channels(model)


def keep_channels_last_at_end(model: ModelProto, view: GraphView) -> None:
    """Inserts a Transpose, which moves no data, before pooled features (n, c, 1, 1) become (n, c).

    ONNX Runtime moves a Transpose only towards another one. Without this one, the last block of a
    network is transposed to channels first at full size and pooled in that layout.
    """
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if _flattens(node, view):
            transposed = f"{node.output[0]}/channels last"
            perm = list(TO_CHANNELS_LAST)
            nodes.append(
                helper.make_node(
                    "Transpose", [node.input[0]], [transposed], name=transposed, perm=perm
                )
            )
            node.input[0] = transposed
        nodes.append(node)
    graph_io.set_nodes(model.graph, nodes)


def pad_image_channels(model: ModelProto) -> None:
    """Pads the channels of the quantized input and the weights that read it to a multiple of four.

    Padding is zero. Nothing changes where the input has consumers other than integer convolutions.
    """
    quantized_input = _find_quantized_input(model)
    if quantized_input is None:
        return
    added = -quantized_input.weights[0].dims[1] % CHANNELS_AT_A_TIME
    if not added:
        return
    for tensor in quantized_input.weights:
        values = np.pad(numpy_helper.to_array(tensor), [(0, 0), (0, added), (0, 0), (0, 0)])
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    stored, zero = quantized_input.quantized.output[0], quantized_input.quantized.input[2]
    padded, counts = f"{stored}/padded", f"{stored}/pads"
    pads = np.array([0, 0, 0, 0, 0, added, 0, 0], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(pads, counts))
    for node in quantized_input.dequantized:
        node.input[0] = padded
    pad = helper.make_node("Pad", [stored, counts, zero], [padded], name=padded)
    nodes = list(model.graph.node)
    position = nodes.index(quantized_input.quantized) + 1
    graph_io.set_nodes(model.graph, [*nodes[:position], pad, *nodes[position:]])


@dataclass(frozen=True, slots=True)
class _QuantizedInput:
    """Q and DQ nodes of the model input, and the weights (c_out, c_in, kh, kw) that read it."""

    quantized: NodeProto
    dequantized: list[NodeProto]
    weights: list[TensorProto]


def _find_quantized_input(model: ModelProto) -> _QuantizedInput | None:
    consumers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            consumers[name].append(node)
    quantized = consumers[model.graph.input[0].name]
    if [node.op_type for node in quantized] != ["QuantizeLinear"]:
        return None
    dequantized = consumers[quantized[0].output[0]]
    layers = [node for dequantize in dequantized for node in consumers[dequantize.output[0]]]
    if not layers or any(node.op_type != "Conv" or group_count(node) != 1 for node in layers):
        return None
    producers = {node.output[0]: node for node in model.graph.node}
    stored = {producers[node.input[1]].input[0] for node in layers if node.input[1] in producers}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in stored]
    return (
        _QuantizedInput(quantized[0], dequantized, weights) if len(weights) == len(layers) else None
    )


def _flattens(node: NodeProto, view: GraphView) -> bool:
    """Whether a node reshapes (n, c, 1, 1) to (n, c), looked up by its output."""
    if node.op_type == "Reshape":
        in_order = view.constants.get(node.input[1], np.zeros(2))[1:].tolist() != [0]
    elif node.op_type == "Flatten":
        in_order = attributes_of(node).get("axis", 1) == 1
    else:
        return False
    source, target = (
        view.shapes.get(n, []) for n in (view.producers[node.output[0]].input[0], node.output[0])
    )
    return in_order and len(source) == 4 and source[1:] == [source[1], 1, 1] and len(target) == 2

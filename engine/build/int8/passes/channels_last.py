"""Rewrites of the written int8 graph for the kernels that run it; no value changes by them.

ONNX Runtime's integer convolutions read channels last, and their fast kernels four channels at a
time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.int8.targets import Target
from engine.onnx import graph_io
from engine.onnx.graph_view import GraphView, attributes_of, group_of

CHANNELS_AT_A_TIME = 4
TO_CHANNELS_LAST = (0, 2, 3, 1)


def arrange(model: ModelProto, view: GraphView, target: Target) -> None:
    """Lays out a written model in place. `view` is of the graph it was written from."""
    if not target.fuses_only_in_integers:
        return
    end_channels_last(model, view)
    # Pairs of weights are bounded in the order in which three channels are added up.
    if not target.adds_pairs_in_16_bits:
        pad_image_channels(model)


def end_channels_last(model: ModelProto, view: GraphView) -> None:
    """Pooled features (n, c, 1, 1) pass a Transpose, which moves nothing, on their way to (n, c).

    ONNX Runtime moves a Transpose along only towards another one. Without this, the last block of a
    network is turned to channels first at its full size, and added up in that order.
    """
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if _flattens(node, view):
            turned = f"{node.output[0]}/channels last"
            perm = list(TO_CHANNELS_LAST)
            nodes.append(
                helper.make_node("Transpose", [node.input[0]], [turned], name=turned, perm=perm)
            )
            node.input[0] = turned
        nodes.append(node)
    graph_io.set_nodes(model.graph, nodes)


def pad_image_channels(model: ModelProto) -> None:
    """Stored images get channels of zero up to a multiple of four, and the weights for them.

    They stay as they are where anything but integer convolutions reads them.
    """
    images = _images_of(model)
    if images is None:
        return
    added = -images.weights[0].dims[1] % CHANNELS_AT_A_TIME
    if not added:
        return
    for tensor in images.weights:
        values = np.pad(numpy_helper.to_array(tensor), [(0, 0), (0, added), (0, 0), (0, 0)])
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    stored, zero = images.quantized.output[0], images.quantized.input[2]
    padded, counts = f"{stored}/padded", f"{stored}/pads"
    places = np.array([0, 0, 0, 0, 0, added, 0, 0], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(places, counts))
    for node in images.dequantized:
        node.input[0] = padded
    pad = helper.make_node("Pad", [stored, counts, zero], [padded], name=padded)
    nodes = list(model.graph.node)
    behind = nodes.index(images.quantized) + 1
    graph_io.set_nodes(model.graph, [*nodes[:behind], pad, *nodes[behind:]])


@dataclass(frozen=True, slots=True)
class _Images:
    """How the input is stored and read, and the int8 weights (c_out, c_in, kh, kw) for it."""

    quantized: NodeProto
    dequantized: list[NodeProto]
    weights: list[TensorProto]


def _images_of(model: ModelProto) -> _Images | None:
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    quantized = readers[model.graph.input[0].name]
    if [node.op_type for node in quantized] != ["QuantizeLinear"]:
        return None
    dequantized = readers[quantized[0].output[0]]
    layers = [node for given in dequantized for node in readers[given.output[0]]]
    if not layers or any(node.op_type != "Conv" or group_of(node) != 1 for node in layers):
        return None
    makers = {node.output[0]: node for node in model.graph.node}
    stored = {makers[node.input[1]].input[0] for node in layers if node.input[1] in makers}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in stored]
    return _Images(quantized[0], dequantized, weights) if len(weights) == len(layers) else None


def _flattens(node: NodeProto, view: GraphView) -> bool:
    """Whether a node, by its output, makes (n, c) of (n, c, 1, 1) in the order of its values."""
    if node.op_type == "Reshape":
        in_order = view.constants.get(node.input[1], np.zeros(2))[1:].tolist() != [0]
    elif node.op_type == "Flatten":
        in_order = attributes_of(node).get("axis", 1) == 1
    else:
        return False
    source, made = (
        view.shapes.get(n, []) for n in (view.makers[node.output[0]].input[0], node.output[0])
    )
    return in_order and len(source) == 4 and source[1:] == [source[1], 1, 1] and len(made) == 2

"""Multiply-accumulates, parameters and activations of a network, counted on its ONNX graph.

* MACs: multiply-accumulates of convolutions, Gemm and MatMul; 1 GMAC = 2 GFLOPs. Elementwise
  operators, pooling, normalization and the addition of biases are not counted.
* Parameters: the elements of the constants that these layers learned, biases included, and of
  the scale and bias of a normalization that is still a node. A BatchNorm folded at export leaves
  one bias a channel in its convolution, where training had a scale and a bias: the count is lower
  than the published one by one a channel, and by two on random weights, whose biases of zero the
  exporter leaves out. Running statistics and quantization scales are no parameters. Every layer
  counts its own, even where an exporter stored equal tensors once.
* Activations: output elements of the counted layers ("macts" in fvcore and timm).

All three are per image, whatever the batch, and the same for fp32, fp16 and int8 builds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from onnx import GraphProto, ModelProto, NodeProto

from engine.onnx import graph_io
from engine.onnx.macs.skeleton import (
    Shape,
    ShapeUnknown,
    Skeleton,
    build_skeleton,
    load_graph,
    node_label,
)

# Operators that pass a constant on element by element: what comes out is the same weight.
_CARRIERS = frozenset(
    {
        "Cast",
        "DequantizeLinear",
        "Flatten",
        "Identity",
        "QuantizeLinear",
        "Reshape",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)

# Operator -> inputs that hold learned values where they are constant.
_LEARNED_INPUTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "Add": (0, 1),  # the bias of a MatMul or of an integer convolution
    "PRelu": (1,),
    "BatchNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
}

# Operators that multiply and accumulate in ways that no rule here counts.
_UNCOUNTABLE = frozenset(
    {"Attention", "ConvTranspose", "DeformConv", "Einsum", "GRU", "LSTM", "MultiHeadAttention"}
    | {"RNN", "FusedMatMul", "FusedGemm", "FusedMatMulActivation", "MatMulNBits", "QAttention"}
    | {"QLinearConvTranspose", "DynamicQuantizeLSTM", "ConvTransposeWithDynamicPads", "NhwcConv"}
)

# com.microsoft's operators that move, join or round values and multiply nothing up.
_FREE_ELSEWHERE = frozenset(
    {"QLinearConcat", "QLinearSoftmax", "QLinearLeakyRelu", "QLinearReduceMean", "QLinearWhere"}
    | {
        "Gelu",
        "FastGelu",
        "QuickGelu",
        "BiasGelu",
        "NhwcMaxPool",
        "BiasSoftmax",
        "Trilu",
        "Inverse",
    }
)


@dataclass(frozen=True, slots=True)
class Compute:
    """What one image costs; `macs_by_op` has those of the keys Conv, Gemm, MatMul that occur.

    `macs` and `activations` are None where the graph cannot be counted: `unknown` says why.
    """

    macs: int | None
    parameters: int
    activations: int | None
    macs_by_op: dict[str, int]
    unknown: str | None = None

    @property
    def compute_gmacs(self) -> float | None:
        """Giga multiply-accumulates; twice as many GFLOPs. None where they are unknown."""
        return None if self.macs is None else self.macs / 1e9


def count_compute(
    model: ModelProto | Path, batch: int = 1, shapes: Mapping[str, Shape] | None = None
) -> Compute:
    """Count what one image costs; a free batch dimension is set to `batch` to infer shapes.

    `shapes` are those of a run of `batch` images, for tensors that inference does not reach. Only
    the shapes of weights are read: an external data file may be absent. Raises CheckpointRejected
    where the file is not ONNX, ArtifactMissing where there is no file.
    """
    graph = build_skeleton(load_graph(model) if isinstance(model, Path) else model, batch, shapes)
    parameters = _count_parameters(graph)
    try:
        macs, activations = _count_macs(graph)
    except ShapeUnknown as error:
        return Compute(None, parameters, None, {}, str(error))
    return Compute(
        macs=macs.total() // graph.batch,
        parameters=parameters,
        activations=activations // graph.batch,
        macs_by_op={op: count // graph.batch for op, count in sorted(macs.items())},
    )


def _count_macs(graph: Skeleton) -> tuple[Counter[str], int]:
    macs: Counter[str] = Counter()
    activations = 0
    for node in graph.nodes:
        _refuse_uncountable(node)
        if node.op_type in _MAC_RULES:
            outputs = math.prod(graph.shape(node.output[0], node))
            macs[node.op_type] += outputs * _MAC_RULES[node.op_type](node, graph)
            activations += outputs
    return macs, activations


def _refuse_uncountable(node: NodeProto) -> None:
    """Raises ShapeUnknown for a node that may multiply and accumulate, but has no rule."""
    foreign = node.domain not in ("", "ai.onnx") and node.op_type not in _FREE_ELSEWHERE
    inside = any(_multiplies(inner) for inner in graph_io.subgraphs_of(node))
    if node.op_type in _UNCOUNTABLE or foreign or inside:
        raise ShapeUnknown(
            f"node {node_label(node)} has no rule for its multiply-accumulates, so they are not "
            f"counted"
        )


def _multiplies(graph: GraphProto) -> bool:
    return any(
        node.op_type in _MAC_RULES
        or node.op_type in _UNCOUNTABLE
        or any(map(_multiplies, graph_io.subgraphs_of(node)))
        for node in graph.node
    )


def _conv_macs_per_output(node: NodeProto, graph: Skeleton) -> int:
    """A weight is (out, in / groups, *kernel): one output element takes all but the first."""
    return math.prod(graph.shape(node.input[1], node)[1:])


def _gemm_macs_per_output(node: NodeProto, graph: Skeleton) -> int:
    """From the weights: what they multiply may be one row, as torch.squeeze leaves of one image."""
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return graph.shape(node.input[1], node)[1 if transposed else 0]


def _matmul_macs_per_output(node: NodeProto, graph: Skeleton) -> int:
    return graph.shape(node.input[0], node)[-1]


_MAC_RULES: dict[str, Callable[[NodeProto, Skeleton], int]] = {
    "Conv": _conv_macs_per_output,
    "Gemm": _gemm_macs_per_output,
    "MatMul": _matmul_macs_per_output,
}


def _count_parameters(graph: Skeleton) -> int:
    """Follow constants forward to the layers that use them; nodes are in topological order."""
    sizes = {name: math.prod(graph.shapes[name]) for name in graph.constants}
    total = 0
    for node in graph.nodes:
        if node.op_type == "Constant":
            sizes[node.output[0]] = math.prod(graph.shapes.get(node.output[0], (0,)))
        elif node.op_type in _CARRIERS and node.input and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
        else:
            learned = (sizes.get(name, 0) for name in _learned_names(node))
            total += sum(size for size in learned if _is_learned(node.op_type, size))
    return total


def _learned_names(node: NodeProto) -> list[str]:
    indices = _LEARNED_INPUTS.get(node.op_type, ())
    return [node.input[index] for index in indices if index < len(node.input)]


def _is_learned(op_type: str, size: int) -> bool:
    """A single number that is added is a constant of the architecture (the 3 of a hard sigmoid)."""
    return op_type != "Add" or size > 1

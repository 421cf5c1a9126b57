"""Counts multiply-accumulates, parameters and activations of a model on its ONNX graph.

* MACs: multiply-accumulates of Conv, Gemm and MatMul; 1 GMAC = 2 GFLOPs. Elementwise operators,
  pooling, normalization and bias additions are not counted.
* Parameters: learned elements of these layers, biases included, and the scale and bias of a
  normalization that is still a node. A BatchNorm folded at export leaves one bias per channel in
  its convolution, where training had a scale and a bias: the count is one per channel lower than
  the published one, and two per channel lower on random weights, whose zero biases the exporter
  omits. Running statistics and quantization scales are not parameters. Each layer counts its own
  weights, even where an exporter stored equal tensors once.
* Activations: output elements of the counted layers ("macts" in fvcore and timm).

All three are per image, independent of the batch, and equal for fp32, fp16 and int8 builds. Where
an int8 build merges the groups of a convolution, its mark says so, and the zeros are not counted.
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
from engine.onnx.merged_groups import merged_factor

# Operators whose output is the same weight as their constant input, element by element.
_PASS_THROUGH_OPS = frozenset(
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

# Operator -> positions of inputs that are learned parameters where they are constant.
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

# Operators with multiply-accumulates that no rule here counts.
_UNCOUNTABLE_OPS = frozenset(
    {"Attention", "ConvTranspose", "DeformConv", "Einsum", "GRU", "LSTM", "MultiHeadAttention"}
    | {"RNN", "FusedMatMul", "FusedGemm", "FusedMatMulActivation", "MatMulNBits", "QAttention"}
    | {"QLinearConvTranspose", "DynamicQuantizeLSTM", "ConvTransposeWithDynamicPads", "NhwcConv"}
)

# Operators of com.microsoft without multiply-accumulates.
_ZERO_MAC_OPS = frozenset(
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
    """Cost per image; the keys of `macs_by_op` are those of Conv, Gemm and MatMul that occur.

    `macs` and `activations` are None where the graph cannot be counted; `unknown` is the reason.
    """

    macs: int | None
    parameters: int
    activations: int | None
    macs_by_op: dict[str, int]
    unknown: str | None = None

    @property
    def compute_gmacs(self) -> float | None:
        """Giga multiply-accumulates (1 GMAC = 2 GFLOPs); None where unknown."""
        return None if self.macs is None else self.macs / 1e9


def count_compute(
    model: ModelProto | Path, batch: int = 1, shapes: Mapping[str, Shape] | None = None
) -> Compute:
    """Counts the cost per image; a dynamic batch dimension is set to `batch` for shape inference.

    `shapes` are those of a run of `batch` images, for tensors whose shape cannot be inferred. Only
    the shapes of weights are read, so an external data file may be absent. Raises
    CheckpointRejected where the file is not ONNX, ArtifactMissing where it does not exist.
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
        _require_countable(node)
        if node.op_type in _MAC_RULES:
            outputs = math.prod(graph.shape(node.output[0], node))
            macs[node.op_type] += outputs * _MAC_RULES[node.op_type](node, graph)
            activations += outputs
    return macs, activations


def _require_countable(node: NodeProto) -> None:
    """Raises ShapeUnknown for a node that may have multiply-accumulates but no counting rule."""
    unknown_op = node.domain not in ("", "ai.onnx") and node.op_type not in _ZERO_MAC_OPS
    in_subgraph = any(_has_multiplications(inner) for inner in graph_io.subgraphs_of(node))
    if node.op_type in _UNCOUNTABLE_OPS or unknown_op or in_subgraph:
        raise ShapeUnknown(
            f"node {node_label(node)} has no rule for its multiply-accumulates, so they are not "
            f"counted"
        )


def _has_multiplications(graph: GraphProto) -> bool:
    return any(
        node.op_type in _MAC_RULES
        or node.op_type in _UNCOUNTABLE_OPS
        or any(map(_has_multiplications, graph_io.subgraphs_of(node)))
        for node in graph.node
    )


def _conv_macs_per_output(node: NodeProto, graph: Skeleton) -> int:
    """Weights are (out, in / groups, *kernel); the product of all dimensions but the first."""
    return math.prod(graph.shape(node.input[1], node)[1:]) // merged_factor(node)


def _gemm_macs_per_output(node: NodeProto, graph: Skeleton) -> int:
    """From the weights: torch.squeeze may have removed the batch dimension of the other input."""
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
    """Follows constants to the layers that use them; nodes are in topological order."""
    sizes = {name: math.prod(graph.shapes[name]) for name in graph.constants}
    total = 0
    for node in graph.nodes:
        if node.op_type == "Constant":
            sizes[node.output[0]] = math.prod(graph.shapes.get(node.output[0], (0,)))
        elif node.op_type in _PASS_THROUGH_OPS and node.input and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
        else:
            learned = (sizes.get(name, 0) for name in _learned_names(node))
            total += sum(size for size in learned if _is_learned(node.op_type, size))
            total -= _merged_zeros(node, sizes)
    return total


def _merged_zeros(node: NodeProto, sizes: dict[str, int]) -> int:
    """Number of weights outside the diagonal of a convolution whose groups were merged."""
    factor = merged_factor(node)
    if factor == 1 or len(node.input) < 2:
        return 0
    size = sizes.get(node.input[1], 0)
    return size - size // factor


def _learned_names(node: NodeProto) -> list[str]:
    indices = _LEARNED_INPUTS.get(node.op_type, ())
    return [node.input[index] for index in indices if index < len(node.input)]


def _is_learned(op_type: str, size: int) -> bool:
    """A scalar that is added is part of the architecture (the 3 of a hard sigmoid), not learned."""
    return op_type != "Add" or size > 1

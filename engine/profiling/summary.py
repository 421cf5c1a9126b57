"""A trace as plain data: each node with its part in the network, and sums over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.onnx.se_blocks import block_nodes, find_gates
from engine.profiling.records import NodeFacts
from engine.profiling.times import NodeTime, Trace

if TYPE_CHECKING:
    import pandas as pd
    from onnx import ModelProto

CONVERSIONS = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "Cast",
        "ReorderInput",
        "ReorderOutput",
    }
)
_LAYOUT = "Transpose"  # inserted where the stored graph has none of that name


@dataclass(frozen=True, slots=True)
class Sums:
    """Milliseconds a run: all nodes, those in SE blocks, those inserted; the last two overlap."""

    nodes_ms: float
    se_ms: float
    inserted_ms: float
    inserted_in_se_ms: float
    se_blocks: int


def nodes_of(trace: Trace, stored: ModelProto) -> list[NodeFacts]:
    """One entry a node that ran, in their order; `stored` is the graph of the build's file."""
    blocks = _blocks(trace)
    own_names = {node.name for node in stored.graph.node}
    return [
        NodeFacts(
            name=one.node.name,
            op=one.node.op_type,
            ms=one.ms,
            output=list(one.shapes[0]) if one.shapes else [],
            provider=one.provider,
            se_block=blocks.get(one.node.name),
            inserted=_is_inserted(one, own_names),
        )
        for one in trace.nodes
    ]


def _blocks(trace: Trace) -> dict[str, int]:
    """The number of its SE block by the name of a node."""
    nodes = [one.node for one in trace.nodes]
    shapes = {
        name: shape
        for one in trace.nodes
        for name, shape in zip(filter(None, one.node.output), one.shapes, strict=False)
    }
    found: dict[str, int] = {}
    for number, gate in enumerate(find_gates(nodes, shapes, ()), 1):
        for node in block_nodes(gate, nodes, shapes):
            found.setdefault(node.name, number)
    return found


def _is_inserted(one: NodeTime, own_names: set[str]) -> bool:
    op = one.node.op_type
    return op in CONVERSIONS or (op == _LAYOUT and one.node.name not in own_names)


def sums_of(nodes: list[NodeFacts]) -> Sums:
    """The sums over a profile's nodes."""

    def total(chosen: list[NodeFacts]) -> float:
        return float(sum(node.ms for node in chosen))

    in_se = [node for node in nodes if node.se_block is not None]
    return Sums(
        nodes_ms=total(nodes),
        se_ms=total(in_se),
        inserted_ms=total([node for node in nodes if node.inserted]),
        inserted_in_se_ms=total([node for node in in_se if node.inserted]),
        se_blocks=len({node.se_block for node in in_se}),
    )


def by_operator(nodes: list[NodeFacts]) -> pd.DataFrame:
    """One row an operator, the slowest first.

    Columns: op, nodes, ms, se_ms (of it in SE blocks), rest_ms, share (of all nodes), inserted.
    """
    import pandas as pd

    frame = pd.DataFrame([node.model_dump() for node in nodes])
    frame["se_ms"] = frame["ms"].where(frame["se_block"].notna(), 0.0)
    groups = frame.groupby("op", sort=False)
    found = groups.agg(
        nodes=("ms", "size"), ms=("ms", "sum"), se_ms=("se_ms", "sum"), inserted=("inserted", "any")
    ).reset_index()
    found["rest_ms"] = found["ms"] - found["se_ms"]
    found["share"] = found["ms"] / found["ms"].sum()
    return found.sort_values("ms", ascending=False, kind="stable").reset_index(drop=True)


def slowest(nodes: list[NodeFacts], most: int) -> list[NodeFacts]:
    """The nodes that take longest."""
    return sorted(nodes, key=lambda node: -node.ms)[:most]

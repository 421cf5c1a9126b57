"""A trace as plain data: each node with its SE block, and sums over the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.onnx.se_blocks import block_nodes, find_gates
from engine.profiling.records import NodeFacts
from engine.runtimes.base import LayerTime, Trace

if TYPE_CHECKING:
    import pandas as pd
    from onnx import ModelProto, NodeProto

CONVERSIONS = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "Cast",
        "ReorderInput",
        "ReorderOutput",
        "Reorder",
        "Convert",
        "FakeQuantize",
    }
)
_LAYOUT = "Transpose"  # counts as inserted where the stored graph has no node of its name


@dataclass(frozen=True, slots=True)
class TimeSums:
    """ms per run: all nodes, nodes in SE blocks, inserted nodes (the last two overlap)."""

    nodes_ms: float
    se_ms: float
    inserted_ms: float
    inserted_in_se_ms: float
    se_blocks: int


def summarize_nodes(trace: Trace, stored: ModelProto, side: int) -> list[NodeFacts]:
    """One entry per executed layer, in execution order; `stored` is the graph of the build.

    `side`: height and width of the input.
    """
    executed = [timed.node for timed in trace.layers if timed.node is not None]
    blocks = _blocks_of_executed(trace) if executed else _blocks_of_stored(trace, stored, side)
    own_names = {node.name for node in stored.graph.node}
    return [
        NodeFacts(
            name=timed.name,
            op=timed.op,
            ms=timed.ms,
            output=list(timed.shapes[0]) if timed.shapes else [],
            provider=timed.provider,
            se_block=blocks.get(timed.name),
            inserted=_is_inserted(timed, own_names),
        )
        for timed in trace.layers
    ]


def _blocks_of_executed(trace: Trace) -> dict[str, int]:
    """SE block number by layer name, where the executed graph is known."""
    timed_nodes = [timed for timed in trace.layers if timed.node is not None]
    nodes = [timed.node for timed in timed_nodes if timed.node is not None]
    shapes = {
        name: shape
        for timed, node in zip(timed_nodes, nodes, strict=True)
        for name, shape in zip(filter(None, node.output), timed.shapes, strict=False)
    }
    return _block_numbers(nodes, shapes)


def _blocks_of_stored(trace: Trace, stored: ModelProto, side: int) -> dict[str, int]:
    """SE block number by layer name: that of the first of its original nodes that is in one."""
    from engine.runtimes.shape_inference import shapes_by_run

    numbers = _block_numbers(list(stored.graph.node), shapes_by_run(stored, side))
    found = {}
    for timed in trace.layers:
        known = [numbers[name] for name in timed.originals if name in numbers]
        if known:
            found[timed.name] = known[0]
    return found


def _block_numbers(nodes: list[NodeProto], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """SE block number by node name, from 1."""
    found: dict[str, int] = {}
    for number, gate in enumerate(find_gates(nodes, shapes, ()), 1):
        for node in block_nodes(gate, nodes, shapes):
            found.setdefault(node.name, number)
    return found


def _is_inserted(timed: LayerTime, own_names: set[str]) -> bool:
    return timed.op in CONVERSIONS or (timed.op == _LAYOUT and timed.name not in own_names)


def sum_times(nodes: list[NodeFacts]) -> TimeSums:
    """The time sums over the nodes of a profile."""

    def total(chosen: list[NodeFacts]) -> float:
        return float(sum(node.ms for node in chosen))

    in_se = [node for node in nodes if node.se_block is not None]
    return TimeSums(
        nodes_ms=total(nodes),
        se_ms=total(in_se),
        inserted_ms=total([node for node in nodes if node.inserted]),
        inserted_in_se_ms=total([node for node in in_se if node.inserted]),
        se_blocks=len({node.se_block for node in in_se}),
    )


def times_by_operator(nodes: list[NodeFacts]) -> pd.DataFrame:
    """One row per operator, slowest first.

    Columns: op, nodes, ms, se_ms (part in SE blocks), rest_ms, share (of the total), inserted.
    """
    import pandas as pd

    frame = pd.DataFrame([node.model_dump() for node in nodes])
    frame["se_ms"] = frame["ms"].where(frame["se_block"].notna(), 0.0)
    groups = frame.groupby("op", sort=False)
    operators = groups.agg(
        nodes=("ms", "size"), ms=("ms", "sum"), se_ms=("se_ms", "sum"), inserted=("inserted", "any")
    ).reset_index()
    operators["rest_ms"] = operators["ms"] - operators["se_ms"]
    operators["share"] = operators["ms"] / operators["ms"].sum()
    return operators.sort_values("ms", ascending=False, kind="stable").reset_index(drop=True)


def slowest_nodes(nodes: list[NodeFacts], most: int) -> list[NodeFacts]:
    """The `most` slowest nodes, slowest first."""
    return sorted(nodes, key=lambda node: -node.ms)[:most]

"""Placement: where the layers of a model ran, and in which arithmetic."""

from __future__ import annotations

from typing import Any


def nodes_on_other_providers(nodes: Any, provider: str) -> str | None:
    """`3 of 10 nodes ran on CPUExecutionProvider`; None where all ran on the requested provider.

    `nodes`: number of nodes by provider ("CPUExecutionProvider", possibly followed by a space and
    the arithmetic), from a benchmark protocol; None where not recorded.
    """
    if not isinstance(nodes, dict):
        return None
    others = {name: n for name, n in nodes.items() if name.partition(" ")[0] != provider}
    if not others:
        return None
    total = sum(nodes.values())
    return ", ".join(f"{n:,} of {total:,} nodes ran on {name}" for name, n in others.items())


def placement_text(nodes: Any) -> str | None:
    """`53 of 65 layers in int8, 12 in fp32`; None where the arithmetic is not reported.

    `nodes`: as of `nodes_on_other_providers`.
    """
    if not isinstance(nodes, dict) or not all(" " in name for name in nodes) or not nodes:
        return None
    total = sum(nodes.values())
    ordered = sorted(nodes.items(), key=lambda item: -item[1])
    (first, count), *others = ((name.partition(" ")[2], n) for name, n in ordered)
    rest = "".join(f", {n:,} in {name}" for name, n in others)
    return f"{count:,} of {total:,} layers in {first}{rest}"

"""Placement: graph nodes that ran on another provider than the requested one."""

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

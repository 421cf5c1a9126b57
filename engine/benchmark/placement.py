"""Which nodes of a graph another provider ran than the one asked for, in words."""

from __future__ import annotations

from typing import Any


def nodes_elsewhere(nodes: Any, provider: str) -> str | None:
    """`of 10 nodes ran 3 on CPUExecutionProvider`; None where all ran on the one asked for.

    `nodes` counts them by provider ("CPUExecutionProvider", or with the arithmetic after a space),
    as the protocol of a benchmark has it; None if it is unknown.
    """
    if not isinstance(nodes, dict):
        return None
    others = {name: n for name, n in nodes.items() if name.partition(" ")[0] != provider}
    if not others:
        return None
    named = ", ".join(f"{count:,} on {name}" for name, count in others.items())
    return f"of {sum(nodes.values()):,} nodes ran {named}"

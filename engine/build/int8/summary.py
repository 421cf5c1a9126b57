"""What a manifest says of a bounded build, in words for terminal and pages."""

from __future__ import annotations

from typing import Any


def bound_told(bound: dict[str, Any] | None) -> str | None:
    """`1 points of top-1, held: 0.0, at most 1.0 on 700 images; ...`; None for no bound.

    Builds of before margins were looked at say nothing of what is expected.
    """
    if not bound:
        return None
    told = (
        f"{bound['max_drop']:g} points of {bound.get('measure', 'top-1')}, "
        f"{'held' if bound['held'] else 'not shown to hold'}: {bound['drop']:.1f}, at most "
        f"{bound['drop_at_most']:.1f} on {bound['images']:,} images"
    )
    if "expected_drop" not in bound:
        return told
    return (
        f"{told}; expected by the margins of its scores: {bound['expected_drop']:.1f}, at most "
        f"{bound['expected_at_most']:.1f}"
    )

"""Which points nothing else beats."""

from __future__ import annotations

from collections.abc import Iterable


def frontier(costs: Iterable[float], values: Iterable[float]) -> list[int]:
    """Positions of the points that no other beats: more value at no more cost; by rising cost.

    Lower cost is better, higher value is better; of equal points the first stays. A point whose
    cost or value is not a number is on no frontier.
    """
    cost, value = list(costs), list(values)
    known = [i for i in range(len(cost)) if cost[i] == cost[i] and value[i] == value[i]]
    best = float("-inf")
    kept = []
    for position in sorted(known, key=lambda i: (cost[i], -value[i], i)):
        if value[position] > best:
            best = float(value[position])
            kept.append(position)
    return kept

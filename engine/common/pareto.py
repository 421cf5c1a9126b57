"""Pareto fronts."""

from __future__ import annotations

from collections.abc import Iterable


def pareto_front(costs: Iterable[float], values: Iterable[float]) -> list[int]:
    """Positions of the non-dominated points, by rising cost.

    Lower cost and higher value are better. Of equal points the first is kept. A point whose cost
    or value is NaN is never on the front.
    """
    cost, value = list(costs), list(values)
    finite = [i for i in range(len(cost)) if cost[i] == cost[i] and value[i] == value[i]]
    best = float("-inf")
    front = []
    for position in sorted(finite, key=lambda i: (cost[i], -value[i], i)):
        if value[position] > best:
            best = float(value[position])
            front.append(position)
    return front

"""What the rounds of a session say about the machine: one speed, two speeds, or a drift."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from engine.store.protocols import MachineState

if TYPE_CHECKING:
    import numpy as np

MIN_ROUNDS = 6
MIN_GAP = 0.10
"""Least distance of the two speeds, of the lower one."""
MIN_SEPARATION = 4.0
"""Least distance of the two speeds, in standard deviations within a speed."""
MIN_SHARE_ROUNDS = 2
MIN_DRIFT = 0.05
DRIFT_Z = 3.0


class MachineStateKind(StrEnum):
    """How the speed of the machine behaved over the rounds of a session."""

    STEADY = "steady"
    TWO_SPEEDS = "two speeds"
    DRIFT = "drift"


def observe_state(rates: Sequence[float]) -> MachineState | None:
    """The state over the rounds, from a figure of each round in time order; None without any.

    Fewer than MIN_ROUNDS count as one speed. Two speeds: the split of the sorted figures with the
    least variance within both parts, where the parts are far apart (MIN_GAP, MIN_SEPARATION).
    Drift: a trend by Mann (1945) and Kendall, where the last third of the rounds differs from the
    first by MIN_DRIFT.
    """
    import numpy as np

    if not rates:
        return None
    values = np.asarray(rates, float)
    steady = MachineState(
        kind=MachineStateKind.STEADY,
        low=round(float(values.min()), 3),
        high=round(float(values.max()), 3),
        upper_share=None,
    )
    if values.size < MIN_ROUNDS:
        return steady
    logs = np.log(values)
    cut = _best_cut(np.sort(logs))
    if cut is not None:
        ordered = np.sort(values)
        return MachineState(
            kind=MachineStateKind.TWO_SPEEDS,
            low=round(float(np.mean(ordered[:cut])), 3),
            high=round(float(np.mean(ordered[cut:])), 3),
            upper_share=round(1 - cut / values.size, 3),
        )
    third = values.size // 3
    first, last = (float(np.mean(part)) for part in (values[:third], values[-third:]))
    if abs(_trend_z(values)) >= DRIFT_Z and abs(last / first - 1) >= MIN_DRIFT:
        return MachineState(
            kind=MachineStateKind.DRIFT, low=round(first, 3), high=round(last, 3), upper_share=None
        )
    return steady


def _best_cut(ordered: np.ndarray) -> int | None:
    """Number of figures in the lower part; None where there is one speed."""
    import numpy as np

    size = ordered.size
    cuts = range(MIN_SHARE_ROUNDS, size - MIN_SHARE_ROUNDS + 1)

    def within(cut: int) -> float:
        return float(sum(np.sum((part - part.mean()) ** 2) for part in np.split(ordered, [cut])))

    cut = min(cuts, key=within)
    lower, upper = np.split(ordered, [cut])
    gap = float(upper.mean() - lower.mean())
    deviation = (within(cut) / (size - 2)) ** 0.5
    far = gap >= MIN_GAP and gap >= MIN_SEPARATION * deviation
    return cut if far and float(upper.min() - lower.max()) > gap / 2 else None


def _trend_z(values: np.ndarray) -> float:
    """The standardized statistic of the Mann-Kendall test of a trend."""
    import numpy as np

    size = values.size
    first, second = np.triu_indices(size, 1)
    score = float(np.sum(np.sign(values[second] - values[first])))
    return score / (size * (size - 1) * (2 * size + 5) / 18) ** 0.5


def state_sentence(state: MachineState | None, unit: str = "images/s") -> str | None:
    """`two speeds: 520 and 910 images/s, 60 % of the rounds in the upper`; None for one speed."""
    if state is None or state.kind == MachineStateKind.STEADY:
        return None
    low, high = (
        f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in (state.low, state.high)
    )
    if state.kind == MachineStateKind.DRIFT:
        return f"the speed drifted from {low} to {high} {unit}"
    share = 100 * (state.upper_share or 0)
    return f"two speeds: {low} and {high} {unit}, {share:.0f} % of the rounds in the upper"

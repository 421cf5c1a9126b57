"""What a gate checks, each with its state: met, likely, inconclusive, or failed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.common.noninferiority import (
    ALPHA,
    drop_z,
    more_images_needed,
    p_values,
    share_z,
    unpaired_drop_z,
)
from engine.common.stats import paired_difference, wilson_interval
from engine.results.gate.sides import Pair, Side
from engine.results.recommend.constraints import MEMORY, SIZE, TOLERANCE, Constraints, State
from engine.results.recommend.evidence import Evidence
from engine.results.recommend.speed import unreliable_because
from engine.results.wording import interval_text
from engine.text import is_missing, number, plural, signed

Z = 1.959963984540054
"""Quantile of a 95 % interval, of which a limit is compared with one side (ALPHA)."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `value` in the unit of `limit` (None: missing), and the sentence about it."""

    name: str
    limit: str
    state: State
    sentence: str
    value: float | None = None
    more_images: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """All checks of a gate."""

    baseline: str
    candidate: str
    checks: tuple[Check, ...]

    @property
    def state(self) -> State:
        """FAILS where a check does; MEETS where all are met; else what keeps it open."""
        states = [check.state for check in self.checks]
        order = (State.FAILS, State.INCONCLUSIVE, State.LIKELY)
        return next((state for state in order if state in states), State.MEETS)


def check(pair: Pair, limits: Constraints, evidence: Evidence) -> Decision:
    """All checks of a pair; what is missing is inconclusive, never met."""
    row = pair.candidate.row
    checks = []
    if limits.max_drop_pp is not None:
        checks.append(_accuracy(pair, limits.max_drop_pp))
    if limits.min_top1 is not None:
        checks.append(_top1(pair.candidate, limits.min_top1))
    if limits.max_latency_ms is not None:
        checks.append(_latency(pair.candidate, limits, evidence))
    for name, column, maximum in (
        ("size", SIZE, limits.max_size_mb),
        ("peak memory", MEMORY, limits.max_memory_mb),
    ):
        if maximum is not None:
            checks.append(_figure(name, row.get(column), maximum))
    return Decision(pair.baseline.name, pair.candidate.name, tuple(checks))


def _accuracy(pair: Pair, max_drop_pp: float) -> Check:
    name, limit = "accuracy drop", f"≤ {max_drop_pp:g} pp"
    if pair.not_comparable is not None:
        text = f"not comparable: {pair.not_comparable}"
        return Check(name, limit, State.INCONCLUSIVE, text)
    a, b = pair.baseline, pair.candidate
    drop = float(a.row["top1"] - b.row["top1"])
    n = int(b.row["images"])
    if a.row["artifact_digest"] == b.row["artifact_digest"] and a.row["top1"] == b.row["top1"]:
        return Check(name, limit, State.MEETS, "both are one build", 0.0, 0)
    if a.correct is not None and b.correct is not None and len(a.correct) == len(b.correct):
        found = paired_difference(a.correct, b.correct)
        z = float(drop_z(found.only_a, found.only_b, found.n, max_drop_pp / 100))
        interval = interval_text(found)
    else:
        counts = [(int(s.row["top1_count"]), int(s.row["images"])) for s in (a, b)]
        z = float(unpaired_drop_z(counts[0], counts[1], max_drop_pp / 100))
        low, high = _unpaired_interval(counts[0], counts[1])
        interval = (
            f"unpaired 95 % interval {signed(low, 2)} to {signed(high, 2)}, wider, because "
            f"per-image results are missing: write result files with `results --json --per-image`"
        )
    text = f"{signed(-drop, 2)} pp vs the baseline over {plural(n, 'image')} ({interval})"
    return _tested(name, limit, z, n, text, drop)


def _unpaired_interval(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """95 % interval of the second share minus the first, in pp: that of `unpaired_drop_z`."""
    (right_a, n_a), (right_b, n_b) = first, second
    a, b = (right_a + 0.5) / (n_a + 1), (right_b + 0.5) / (n_b + 1)
    half = Z * math.sqrt(a * (1 - a) / (n_a + 1) + b * (1 - b) / (n_b + 1))
    difference = right_b / n_b - right_a / n_a
    return 100 * (difference - half), 100 * (difference + half)


def _tested(name: str, limit: str, z: float, n: int, text: str, value: float) -> Check:
    """A check by a statistic that is above zero within the limit."""
    if float(p_values(z)) <= ALPHA:
        return Check(name, limit, State.MEETS, text, value, 0)
    if float(p_values(-z)) <= ALPHA:
        return Check(name, limit, State.FAILS, text, value)
    more = more_images_needed(z, n, Z)
    if more is None:
        text += "; the images do not show whether it is within the limit"
        return Check(name, limit, State.INCONCLUSIVE, text, value)
    text += f"; about {more:,} more images would show it, if the figures stay as they are"
    return Check(name, limit, State.LIKELY, text, value, more)


def _top1(side: Side, least: float) -> Check:
    name, limit = "top-1", f"≥ {least:g} %"
    if is_missing(side.row["top1_count"]):
        return Check(name, limit, State.INCONCLUSIVE, "it was not evaluated")
    right, n = int(side.row["top1_count"]), int(side.row["images"])
    low, high = (100 * end for end in wilson_interval(right, n))
    value = 100 * right / n
    text = f"{number(value, 2)} % over {plural(n, 'image')} (95 % interval {low:.2f} to {high:.2f})"
    share = min(max(least / 100, TOLERANCE), 1 - TOLERANCE)
    return _tested(name, limit, float(share_z(right, n, share)), n, text, value)


def _latency(side: Side, limits: Constraints, evidence: Evidence) -> Check:
    row, column = side.row, limits.percentile.column
    maximum = limits.max_latency_ms or 0.0
    name, limit = f"{limits.percentile} latency", f"≤ {maximum:g} ms"
    value: Any = row.get(column)
    if is_missing(value):
        missing = f"no {limits.percentile} latency is stored"
        if is_missing(row["images_per_s"]):
            missing = "it was not benchmarked"
        return Check(name, limit, State.INCONCLUSIVE, missing)
    value = float(value)
    where = f"{number(value, 2)} ms at batch {row['batch']:.0f}, {row['threads']:.0f} threads"
    doubts = unreliable_because(row)
    if doubts:
        return Check(name, limit, State.INCONCLUSIVE, f"{where}; {'; '.join(doubts)}", value)
    low, high = value, value
    if side.local and not is_missing(row["benchmark_id"]):
        found = evidence.intervals(int(row["benchmark_id"])).get(column)
        if found is not None:
            low, high = found
            where += f" (95 % interval between rounds {number(low, 2)} to {number(high, 2)})"
    if high <= maximum + TOLERANCE:
        return Check(name, limit, State.MEETS, where, value)
    if low > maximum:
        return Check(name, limit, State.FAILS, where, value)
    return Check(name, limit, State.INCONCLUSIVE, f"{where}: it reaches over the limit", value)


def _figure(name: str, value: Any, maximum: float) -> Check:
    limit = f"≤ {maximum:g} MB"
    if is_missing(value):
        return Check(name, limit, State.INCONCLUSIVE, f"the {name} is not known")
    state = State.MEETS if np.less_equal(value, maximum + TOLERANCE) else State.FAILS
    return Check(name, limit, state, f"{number(value, 2)} MB", float(value))

"""The recommended build, its state, and the nearest miss where no build meets the constraints.

Builds are ranked by their figures. Whether the accuracy of one is shown is tested for all of them
together (Holm), so that the best of many is not called within a limit by luck.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from engine.common.noninferiority import (
    Shown,
    drop_z,
    more_images_needed,
    share_z,
    shown_within,
)
from engine.common.stats import PairedDifference
from engine.results.groups import is_collapsed
from engine.results.recommend.constraints import (
    ACCURACY,
    DROP,
    TOLERANCE,
    Constraints,
    Goal,
    Limit,
    State,
    all_met,
    limits_of,
)
from engine.results.recommend.evidence import Evidence, Interval
from engine.results.recommend.speed import (
    Row,
    crosses_limit,
    latency_interval,
    not_shown_faster,
    ranking_speed,
    references_of,
    same_model,
    unreliable_because,
)
from engine.text import is_missing

MAX_TESTED = 16
"""Of the ranked builds, so many are tested; the others count as not shown."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is shown about one build that is within the constraints by its figures.

    `reasons`: why its state is not MEETS, one clause each. `difference`: top-1 minus that of its
    fp32, paired. `more_images`: about how many more would show its accuracy; None where no number
    is known. `family`: number of builds that were tested together. `speed_open`: its speed is among
    the reasons.
    """

    state: State
    reasons: tuple[str, ...] = ()
    difference: PairedDifference | None = None
    more_images: int | None = None
    family: int = 1
    latency: Interval | None = None
    speed_open: bool = False


@dataclass(frozen=True, slots=True)
class Miss:
    """A figure beyond its limit: by `excess` in the unit of the limit, None where it is missing."""

    limit: Limit
    value: float | None
    excess: float | None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The recommended row with its assessment; without one, the nearest miss.

    `meets`: for each candidate, whether its figures are within all constraints. `shown`: another
    build whose state is MEETS, where the recommended one's is not. `unreliable`: rows whose speed
    cannot decide, of those that a new measurement may decide about.
    """

    state: State
    meets: pd.Series
    row: Row | None = None
    assessment: Assessment = Assessment(State.FAILS)
    shown: Row | None = None
    nearest: Row | None = None
    misses: tuple[Miss, ...] = ()
    unreliable: tuple[Row, ...] = field(default_factory=tuple)

    @property
    def candidates(self) -> int:
        """Number of builds to choose from."""
        return len(self.meets)


def recommend(
    points: pd.DataFrame, constraints: Constraints, evidence: Evidence | None = None
) -> Recommendation:
    """The recommended build among `points` (as from `candidates`).

    Goal accuracy with a max accuracy drop: the model of the most accurate build within the
    constraints, at its fastest precision within them (inside the accepted drop, speed decides).
    """
    evidence = evidence or Evidence()
    limits = limits_of(constraints)
    meets = all_met(points, limits) & ~is_collapsed(points)
    eligible = points[meets]
    if eligible.empty:
        return _nearest_miss(points, limits, meets)
    ranked = _ranked(eligible, constraints)
    rows: list[Row] = ranked.head(MAX_TESTED).to_dict("records")
    tested = _assess(rows, _family(points, limits), eligible, constraints, evidence)
    best, assessment = rows[0], tested[0]
    shown = None
    if assessment.state != State.MEETS:
        pairs = zip(rows, tested, strict=True)
        shown = next((row for row, found in pairs if found.state == State.MEETS), None)
    unreliable = tuple(row for row in rows if unreliable_because(row))
    undecided = (best,) if assessment.speed_open and not unreliable else ()
    return Recommendation(
        assessment.state, meets, best, assessment, shown, unreliable=unreliable or undecided
    )


def _ranked(eligible: pd.DataFrame, constraints: Constraints) -> pd.DataFrame:
    """The eligible builds, the best one first."""
    rated = eligible.assign(rating=ranking_speed(eligible))
    by_speed = ["rating", "top1"]
    if constraints.goal == Goal.THROUGHPUT:
        return rated.sort_values(by_speed, ascending=False)
    by_accuracy = rated.sort_values(["top1", "rating"], ascending=False)
    if constraints.max_drop_pp is None:
        return by_accuracy
    own = same_model(by_accuracy, by_accuracy.iloc[0].to_dict())
    fastest = by_accuracy[own].sort_values(by_speed, ascending=False)
    return pd.concat([fastest, by_accuracy[~own]])


def _family(points: pd.DataFrame, limits: Sequence[Limit]) -> int:
    """Number of builds whose accuracy is tested: those within the other constraints.

    The figures of accuracy must not choose what is tested. The fp32 build itself has no drop.
    """
    others = points[all_met(points, [limit for limit in limits if limit.column not in ACCURACY])]
    columns = {limit.column for limit in limits} & set(ACCURACY)
    if columns == {DROP}:
        others = others[others["evaluation_id"] != others["fp32_id"]]
    return max(1, len(others))


def _assess(
    rows: list[Row],
    family: int,
    eligible: pd.DataFrame,
    constraints: Constraints,
    evidence: Evidence,
) -> list[Assessment]:
    """The assessment of each row."""
    differences = [_difference(row, constraints, evidence) for row in rows]
    statistics = [
        _statistic(row, difference, constraints)
        for row, difference in zip(rows, differences, strict=True)
    ]
    known = [z for z in statistics if z is not None and math.isfinite(z)]
    verdicts = iter(shown_within(known, max(family, len(known))))
    found, references = [], references_of(eligible)
    for row, difference, z in zip(rows, differences, statistics, strict=True):
        shown = next(verdicts) if z is not None and math.isfinite(z) else None
        latency = latency_interval(row, constraints, evidence)
        speed = unreliable_because(row) + crosses_limit(latency, constraints)
        speed += not_shown_faster(row, references)
        found.append(_assessment(row, difference, z, shown, speed, family, latency))
    return found


def _difference(row: Row, constraints: Constraints, evidence: Evidence) -> PairedDifference | None:
    if is_missing(row["fp32_id"]) or row["fp32_id"] == row["evaluation_id"]:
        return None
    return evidence.paired(int(row["fp32_id"]), int(row["evaluation_id"]))


def _statistic(
    row: Row, difference: PairedDifference | None, constraints: Constraints
) -> float | None:
    """The least of the statistics of its accuracy; None where the drop is not paired by image.

    Both claims must hold, so the weaker one decides. Infinite where nothing is to be shown.
    """
    z = math.inf
    if constraints.max_drop_pp is not None and row["fp32_id"] != row["evaluation_id"]:
        if difference is None:
            return None
        counts = difference.only_a, difference.only_b, difference.n
        z = float(drop_z(*counts, constraints.max_drop_pp / 100))
    if constraints.min_top1 is not None and 0 < constraints.min_top1 < 100:
        images = int(row["images"])
        right = round(float(row["top1"]) / 100 * images)
        z = min(z, float(share_z(right, images, constraints.min_top1 / 100)))
    return z


def _assessment(
    row: Row,
    difference: PairedDifference | None,
    z: float | None,
    shown: Shown | None,
    speed: list[str],
    family: int,
    latency: Interval | None,
) -> Assessment:
    state = State.INCONCLUSIVE if speed else State.MEETS
    accuracy: list[str] = []
    more: int | None = 0
    if z is None:
        accuracy.append("the accuracy drop is not paired by image: per-image results are missing")
        state, more = State.INCONCLUSIVE, None
    elif shown is not None and not shown.shown:
        more = more_images_needed(z, int(row["images"]), shown.needed_z)
        if more is None:
            accuracy.append("the accuracy is at its limit: no number of images is known to show it")
            state = State.INCONCLUSIVE
        elif state == State.MEETS:
            state = State.LIKELY
    reasons = (*speed, *accuracy)
    return Assessment(state, reasons, difference, more, family, latency, bool(speed))


def _nearest_miss(points: pd.DataFrame, limits: list[Limit], meets: pd.Series) -> Recommendation:
    """No recommendation, with the build that misses the fewest constraints by the least share."""
    if points.empty:
        return Recommendation(State.FAILS, meets)
    ordered = points.iloc[np.lexsort(_distances(points, limits)[::-1])]
    rows: list[Row] = ordered.head(MAX_TESTED).to_dict("records")
    missed = [tuple(misses_of(row, limits)) for row in rows]
    unreliable = tuple(
        row
        for row, own in zip(rows, missed, strict=True)
        if own and all(miss.limit.unit == "ms" for miss in own) and unreliable_because(row)
    )
    return Recommendation(
        State.FAILS, meets, nearest=rows[0], misses=missed[0], unreliable=unreliable
    )


def _distances(points: pd.DataFrame, limits: Sequence[Limit]) -> list[np.ndarray]:
    """Of each row: missing figures, then constraints that are missed, then the largest share."""
    shares = np.zeros((len(points), max(1, len(limits))))
    for place, limit in enumerate(limits):
        excess = limit.excess(points[limit.column].astype(float)).to_numpy(float)
        shares[:, place] = excess / max(abs(limit.bound), TOLERANCE)
    missing = np.isnan(shares)
    beyond = ~missing & (shares > TOLERANCE)
    return [missing.sum(1), beyond.sum(1), np.where(beyond, shares, 0.0).max(1)]


def misses_of(row: Row, limits: Sequence[Limit]) -> list[Miss]:
    """The figures of a row that are beyond their limits, or missing."""
    found = []
    for limit in limits:
        value: Any = row.get(limit.column)
        if is_missing(value):
            found.append(Miss(limit, None, None))
        elif (excess := limit.excess(float(value))) > TOLERANCE:
            found.append(Miss(limit, float(value), float(excess)))
    return found

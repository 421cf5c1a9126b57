"""What Compare computes from the results table, cached for all sessions until results change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.queries.results import Values, group_values, results_by_values, tables
from dashboard.queries.samples import evidence
from dashboard.queries.state import Version, url, version
from engine.results.groups import (
    Group,
    accuracy_groups,
    runtimes_of,
    speed_groups,
    with_labels,
)
from engine.results.recommend import (
    Constraints,
    Recommendation,
    candidates,
    comparable_points,
    recommend,
)
from engine.results.selection import comparable_rows

MAX_SELECTIONS = 16
"""Selections and constraints that are kept; a few MB each with 10,000 measurements."""


@dataclass(frozen=True, slots=True)
class FilterChoices:
    """What the filters of Compare offer; `models` are labels."""

    image_sets: tuple[Group, ...]
    settings: tuple[Group, ...]
    runtimes: tuple[str, ...]
    models: tuple[str, ...]


def filter_choices() -> FilterChoices:
    """The image sets, settings, runtimes and models of the results."""
    return _filter_choices(url(), version())


@st.cache_resource(show_spinner=False, max_entries=2)
def _filter_choices(url: str, version: Version) -> FilterChoices:
    found = tables()
    recorded = pd.concat([found.evaluations["runtime"], found.benchmarks["runtime"]])
    return FilterChoices(
        tuple(accuracy_groups(found.evaluations)),
        tuple(speed_groups(found.benchmarks)),
        tuple(runtimes_of(recorded)),
        tuple(dict.fromkeys(with_labels(found.builds)["label"])),
    )


def comparable(
    accuracy: Group | None, speed: Group | None, models: Iterable[str], runtime: str
) -> pd.DataFrame:
    """As engine.results.selection.comparable_rows. All sessions share it: do not modify it."""
    selection = group_values(accuracy), group_values(speed), tuple(models), runtime
    return _comparable(url(), version(), *selection)


@st.cache_resource(show_spinner=False, max_entries=MAX_SELECTIONS)
def _comparable(
    url: str,
    version: Version,
    accuracy: Values,
    speed: Values,
    models: tuple[str, ...],
    runtime: str,
) -> pd.DataFrame:
    return comparable_rows(results_by_values(accuracy, speed), models, runtime)


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows with `meets` and `recommended`, and the recommendation.

    `found` is None where no build has both an accuracy and a speed. All sessions share it.
    """

    rows: pd.DataFrame
    builds: pd.DataFrame
    found: Recommendation | None


def judged(
    accuracy: Group | None,
    speed: Group | None,
    models: Iterable[str],
    runtime: str,
    constraints: Constraints,
) -> Judged:
    """The comparable rows under the constraints."""
    selection = group_values(accuracy), group_values(speed), tuple(models), runtime
    return _judged(url(), version(), *selection, constraints)


@st.cache_resource(show_spinner=False, max_entries=MAX_SELECTIONS)
def _judged(
    url: str,
    version: Version,
    accuracy: Values,
    speed: Values,
    models: tuple[str, ...],
    runtime: str,
    constraints: Constraints,
) -> Judged:
    rows = _comparable(url, version, accuracy, speed, models, runtime)
    builds = candidates(comparable_points(rows))
    if builds.empty:
        return Judged(rows.assign(meets=True, recommended=False), builds, None)
    found = recommend(builds, constraints, evidence())
    meets = pd.Series(rows.index.map(found.meets).astype(object), index=rows.index)
    key = found.row["key"] if found.row else None
    return Judged(
        rows.assign(meets=meets.fillna(True).astype(bool), recommended=rows["key"] == key),
        builds,
        found,
    )

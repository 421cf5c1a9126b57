"""Builds with their accuracies and speeds, and the published figures."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from sqlalchemy import select

from dashboard.queries.state import Version, url, version
from db.models import Environment
from db.session import reading
from engine.common.environment import library_versions
from engine.results import ResultTables, join_results, published_frame, result_tables
from engine.results import results_of as measured_by
from engine.results.groups import Group
from engine.specs import DEFAULT_RUNTIME

Values = tuple[tuple[str, object], ...]


def tables() -> ResultTables:
    """Builds, evaluations and benchmarks, not joined. Shared by all sessions: never write to it."""
    return _tables(url(), version())


# A resource is handed out as it is; cached data would be copied, whole, on each of a page's runs.
@st.cache_resource(show_spinner=False, max_entries=2)
def _tables(url: str, version: Version) -> ResultTables:
    return result_tables(url)


def results(accuracy: Group | None = None, speed: Group | None = None) -> pd.DataFrame:
    """The results table of the engine, of some images and of some setting where they are given."""
    return _results(url(), version(), _values(accuracy), _values(speed))


def _values(group: Group | None) -> Values:
    return tuple(group.values.items()) if group else ()


@st.cache_resource(show_spinner=False, max_entries=6)
def _results(url: str, version: Version, accuracy: Values, speed: Values) -> pd.DataFrame:
    found = _tables(url, version)
    return join_results(
        ResultTables(
            found.builds,
            Group("", dict(accuracy)).of(found.evaluations),
            Group("", dict(speed)).of(found.benchmarks),
        )
    )


def results_of(artifacts: set[str], evaluations: set[int], benchmarks: set[int]) -> pd.DataFrame:
    """The rows of some measurements, also of those made anew since, and of builds without any."""
    return _results_of(
        url(),
        version(),
        tuple(sorted(artifacts)),
        tuple(sorted(evaluations)),
        tuple(sorted(benchmarks)),
    )


@st.cache_resource(show_spinner=False, max_entries=6)
def _results_of(
    url: str,
    version: Version,
    artifacts: tuple[str, ...],
    evaluations: tuple[int, ...],
    benchmarks: tuple[int, ...],
) -> pd.DataFrame:
    return measured_by(url, artifacts, evaluations, benchmarks)


def outdated() -> dict[str, str]:
    """Of each machine's digest whose ONNX Runtime is not the installed one: both versions."""
    return _outdated(url(), version())


@st.cache_data(show_spinner=False, max_entries=2)
def _outdated(url: str, version: Version) -> dict[str, str]:
    now = library_versions().get(DEFAULT_RUNTIME)
    with reading(url) as session:
        rows = session.execute(select(Environment.digest, Environment.facts)).all()
    then = {digest: (facts.get("packages") or {}).get(DEFAULT_RUNTIME) for digest, facts in rows}
    return {
        digest: f"with {DEFAULT_RUNTIME} {found}, now {now}"
        for digest, found in then.items()
        if found and now and found != now
    }


def published() -> pd.DataFrame:
    """The catalog's published figures."""
    return _published(url(), version())


@st.cache_data(show_spinner=False, max_entries=4)
def _published(url: str, version: Version) -> pd.DataFrame:
    return published_frame(url)

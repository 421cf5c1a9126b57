"""The results table and the published figures, cached."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from sqlalchemy import select

from dashboard.queries.state import Version, url, version
from db.models import Environment
from db.session import reading
from engine.common.environment import library_versions
from engine.results import ResultTables, join_results, published_frame, result_tables
from engine.results import results_of_measurements as read_results
from engine.results.groups import Group
from engine.specs import DEFAULT_RUNTIME

Values = tuple[tuple[str, object], ...]


def tables(*, hidden: bool = False) -> ResultTables:
    """Builds, evaluations and benchmarks, not joined. All sessions share it: do not modify it.

    `hidden`: also of hidden builds.
    """
    return _tables(url(), version(), hidden)


# cache_resource returns the object itself; cache_data would copy it on each run of a page.
@st.cache_resource(show_spinner=False, max_entries=2)
def _tables(url: str, version: Version, hidden: bool = False) -> ResultTables:
    return result_tables(url, hidden=hidden)


def results(
    accuracy: Group | None = None, speed: Group | None = None, *, hidden: bool = False
) -> pd.DataFrame:
    """The results table, limited to an image set and to benchmark conditions if given.

    `hidden`: also of hidden builds.
    """
    return _results(url(), version(), group_values(accuracy), group_values(speed), hidden)


def results_by_values(accuracy: Values, speed: Values) -> pd.DataFrame:
    """`results` of groups given by `group_values`."""
    return _results(url(), version(), accuracy, speed, False)


def group_values(group: Group | None) -> Values:
    """The values of a group, as the key of a cache; empty for None."""
    return tuple(group.values.items()) if group else ()


@st.cache_resource(show_spinner=False, max_entries=6)
def _results(
    url: str, version: Version, accuracy: Values, speed: Values, hidden: bool
) -> pd.DataFrame:
    tables = _tables(url, version, hidden)
    return join_results(
        ResultTables(
            tables.builds,
            Group("", dict(accuracy)).select_rows(tables.evaluations),
            Group("", dict(speed)).select_rows(tables.benchmarks),
        )
    )


def results_of_measurements(
    artifacts: set[str], evaluations: set[int], benchmarks: set[int]
) -> pd.DataFrame:
    """The rows of given measurements (also replaced ones), and of given builds without any."""
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
    return read_results(url, artifacts, evaluations, benchmarks)


def outdated_environments() -> dict[str, str]:
    """Machines whose ONNX Runtime is not the installed version: by digest, both versions."""
    return _outdated(url(), version())


@st.cache_data(show_spinner=False, max_entries=2)
def _outdated(url: str, version: Version) -> dict[str, str]:
    installed = library_versions().get(DEFAULT_RUNTIME)
    with reading(url) as session:
        rows = session.execute(select(Environment.digest, Environment.facts)).all()
    used = {digest: (facts.get("packages") or {}).get(DEFAULT_RUNTIME) for digest, facts in rows}
    return {
        digest: f"with {DEFAULT_RUNTIME} {version_used}, now {installed}"
        for digest, version_used in used.items()
        if version_used and installed and version_used != installed
    }


def published() -> pd.DataFrame:
    """The catalog's published figures."""
    return _published(url(), version())


@st.cache_data(show_spinner=False, max_entries=4)
def _published(url: str, version: Version) -> pd.DataFrame:
    return published_frame(url)

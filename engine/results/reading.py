"""Database queries as data frames."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import ColumnElement, Select, func

from db.models import Environment, Host
from db.session import reading
from engine.runtimes.registry import RUNTIMES, name_in
from engine.specs import DEFAULT_RUNTIME


def read_frame(url: str, statement: Select) -> pd.DataFrame:
    """The rows of a SELECT statement; its labels are the columns."""
    with reading(url) as session:
        return pd.read_sql(statement, session.connection())


def host_of_job() -> ColumnElement[str]:
    """Label of the host that measured; without one, the hostname that the environment states."""
    stated = Environment.facts["host"].as_string()
    return func.coalesce(Host.label, stated).label("host")


def with_ran_in(frame: pd.DataFrame, measured_here: pd.Series | None = None) -> pd.DataFrame:
    """Adds `ran_in`, the name of the runtime without its version.

    A missing runtime is the default one. Where `measured_here` is given and False, the name is
    empty, because imports need not state it.
    """
    names = frame["runtime"].map(name_in, na_action="ignore").fillna(DEFAULT_RUNTIME)
    return frame.assign(ran_in=names if measured_here is None else names.where(measured_here, ""))


def by_runtime(frame: pd.DataFrame) -> pd.Series:
    """The runtime of each row, so that its versions here are one; as recorded where it is not here.

    A version of a runtime replaces the version before it, as long as the machine is the same.
    """
    names = frame["runtime"].fillna("").astype(str).map(name_in)
    return names.where(names.isin(list(RUNTIMES)), frame["runtime"])


def newest_rows(frame: pd.DataFrame, key: tuple[str, ...], time: str) -> pd.DataFrame:
    """The newest row (by column `time`) of each build and `key`."""
    ordered = frame.sort_values(time, kind="stable")
    return ordered.drop_duplicates(["artifact_digest", *key], keep="last")

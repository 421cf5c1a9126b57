"""What the database says, as frames."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import Select

from db.session import reading
from engine.runtimes.registry import name_in
from engine.specs import DEFAULT_RUNTIME


def read_frame(url: str, statement: Select) -> pd.DataFrame:
    """The rows that a statement selects, its labels as columns."""
    with reading(url) as session:
        return pd.read_sql(statement, session.connection())


def with_ran_in(frame: pd.DataFrame, here: pd.Series | None = None) -> pd.DataFrame:
    """Adds `ran_in`, the runtime's name without its version, by which measurements go together.

    Without `here` a missing one is the default; with it, the name is empty where not measured here,
    as imports need not state it.
    """
    names = frame["runtime"].map(name_in, na_action="ignore").fillna(DEFAULT_RUNTIME)
    return frame.assign(ran_in=names if here is None else names.where(here, ""))


def newest(frame: pd.DataFrame, key: tuple[str, ...], time: str) -> pd.DataFrame:
    """The last row in `time` of each build and key."""
    ordered = frame.sort_values(time, kind="stable")
    return ordered.drop_duplicates(["artifact_digest", *key], keep="last")

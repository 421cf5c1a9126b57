"""Database queries as data frames."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import Select

from db.session import reading


def read_frame(url: str, statement: Select) -> pd.DataFrame:
    """The rows of a SELECT statement; its labels are the columns."""
    with reading(url) as session:
        return pd.read_sql(statement, session.connection())


def newest_rows(frame: pd.DataFrame, key: tuple[str, ...], time: str) -> pd.DataFrame:
    """The newest row (by column `time`) of each build and `key`."""
    ordered = frame.sort_values(time, kind="stable")
    return ordered.drop_duplicates(["artifact_digest", *key], keep="last")

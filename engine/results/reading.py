"""What the database says, as frames."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import Select

from db.session import reading


def read_frame(url: str, statement: Select) -> pd.DataFrame:
    """The rows that a statement selects, its labels as columns."""
    with reading(url) as session:
        return pd.read_sql(statement, session.connection())


def newest(frame: pd.DataFrame, key: tuple[str, ...], time: str) -> pd.DataFrame:
    """The last row in `time` of each build and key."""
    ordered = frame.sort_values(time, kind="stable")
    return ordered.drop_duplicates(["artifact_digest", *key], keep="last")

"""What the database says, as frames."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import Select

from db.session import reading


def read_frame(url: str, statement: Select) -> pd.DataFrame:
    """The rows that a statement selects, its labels as columns."""
    with reading(url) as session:
        return pd.read_sql(statement, session.connection())


def newest(frame: pd.DataFrame, key: list[str], time: str) -> pd.DataFrame:
    """The last row in `time` of each key."""
    return frame.sort_values(time, kind="stable").drop_duplicates(key, keep="last")

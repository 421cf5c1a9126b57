"""Result tables as text: CSV and JSON at full precision, Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from engine.results import COLUMNS

MARKDOWN_DIGITS = 2


def to_csv(frame: pd.DataFrame) -> str:
    """Headers with units, values as they are; empty where nothing was measured."""
    return str(frame.rename(columns=COLUMNS).to_csv(index=False))


def to_json(frame: pd.DataFrame) -> str:
    """A list of objects under the plain column names; null where nothing was measured."""
    return json.dumps(to_records(frame), indent=1)


def to_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Plain Python values, ready for JSON."""
    text = frame.to_json(orient="records", date_format="iso", double_precision=15)
    records: list[dict[str, Any]] = json.loads(text or "[]")
    return records


def to_markdown(frame: pd.DataFrame) -> str:
    """A table with rounded numbers."""
    header = [COLUMNS.get(name, name) for name in frame.columns]
    rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if value == int(value) else f"{value:,.{MARKDOWN_DIGITS}f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "csv": to_csv,
    "json": to_json,
    "markdown": to_markdown,
}

"""Output of the commands: one JSON document or tables on stdout, everything else on stderr."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from engine.common.untrusted import as_json
from engine.text import printable

PIPE_COLUMNS = 200  # width of a table in a pipe; the default of 80 would fold it
# Names of models, files and machines are printed as plain text, never read as markup.
_AS_TEXT: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}

out = Console(**_AS_TEXT, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
err = Console(**_AS_TEXT, stderr=True)


def emit_json(document: Any) -> None:
    """Prints the JSON document of a command; NaN and infinity become null."""
    print(as_json(document), flush=True)


def emit_table(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table; numbers are right-aligned, a missing value is a dash.

    Fractions have two decimals, or none if all numbers of the column are integers.
    """
    table = Table(title=printable(title), title_justify="left", header_style="bold", box=box.SIMPLE)
    materialized = [list(row) for row in rows]
    integers_only = []
    for number, name in enumerate(header):
        numbers = [row[number] for row in materialized if isinstance(row[number], int | float)]
        integers_only.append(
            all(not math.isfinite(value) or value == int(value) for value in numbers)
        )
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in materialized:
        table.add_row(*(format_cell(*cell) for cell in zip(row, integers_only, strict=True)))
    out.print(table)


def format_cell(value: Any, integers_only: bool = False) -> str:
    """Text of one cell; `integers_only`: no number of the column has decimals."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if integers_only or abs(value) >= 1000 else f"{value:,.2f}"
    return printable(str(value))


def interval_text(low: float, high: float, form: str = ".2f") -> str:
    """Two fractions as percentages: `71.20 to 73.05`."""
    return f"{100 * low:{form}} to {100 * high:{form}}"


def note(text: str) -> None:
    """Prints a remark on stderr."""
    err.print(printable(text), soft_wrap=True)


def fail(text: str) -> None:
    """Prints an error on stderr."""
    err.print(printable(f"Error: {text}"), style="red", soft_wrap=True)


def progress_bar() -> Progress:
    """A progress bar on stderr that disappears at the end; nothing if stderr is not a terminal."""
    description = TextColumn("{task.description}", style="progress.description", markup=False)
    return Progress(
        description,
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )

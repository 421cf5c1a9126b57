"""What commands print: one JSON document or a table on stdout, everything else on stderr."""

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

PIPE_COLUMNS = 200  # a pipe has no width of its own, and must not be folded to 80
# All that is printed is text: names of models, files and machines are never read as markup.
_AS_TEXT: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}

out = Console(**_AS_TEXT, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
err = Console(**_AS_TEXT, stderr=True)


def emit_json(document: Any) -> None:
    """The one JSON document of a command; what is no number is null, as JSON has it."""
    print(as_json(document), flush=True)


def emit_table(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for people; numbers are right-aligned, what is missing is a dash.

    The fractions of a column have two places, or none where all its numbers are whole.
    """
    table = Table(title=printable(title), title_justify="left", header_style="bold", box=box.SIMPLE)
    materialized = [list(row) for row in rows]
    whole = []
    for number, name in enumerate(header):
        numbers = [row[number] for row in materialized if isinstance(row[number], int | float)]
        whole.append(all(not math.isfinite(value) or value == int(value) for value in numbers))
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in materialized:
        table.add_row(*(format_cell(*cell) for cell in zip(row, whole, strict=True)))
    out.print(table)


def format_cell(value: Any, whole: bool = False) -> str:
    """Text of one cell; `whole` of a fraction in a column that has only whole numbers."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if whole or abs(value) >= 1000 else f"{value:,.2f}"
    return printable(str(value))


def interval(low: float, high: float, form: str = ".2f") -> str:
    """`71.20 to 73.05` of two fractions, in percent."""
    return f"{100 * low:{form}} to {100 * high:{form}}"


def note(text: str) -> None:
    """A remark beside the result."""
    err.print(printable(text), soft_wrap=True)


def fail(text: str) -> None:
    """The sentence of an error."""
    err.print(printable(f"Error: {text}"), style="red", soft_wrap=True)


def progress_bar() -> Progress:
    """A bar on stderr that goes when it is done; descriptions are text."""
    description = TextColumn("{task.description}", style="progress.description", markup=False)
    return Progress(
        description,
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )

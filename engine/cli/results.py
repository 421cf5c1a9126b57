"""`results`: the table of what was measured, as a table, CSV, JSON, Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.benchmark.scenarios.definitions import CLOSED_LOOP
from engine.cli.options import Json
from engine.cli.output import emit_table, note
from engine.common.files import disk_full_as_error
from engine.common.program import program
from engine.errors import InvalidRequest
from engine.store.database import prepare_database

if TYPE_CHECKING:
    import pandas as pd


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"
    LATEX = "latex"


MOST_REASONS = 4


def results(
    model: Annotated[str | None, typer.Option(help="Only models whose name contains this.")] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="How to write it.")] = Format.TABLE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file.")] = None,
    json: Json = False,
) -> None:
    """Shows or exports every result; CSV and JSON hold all columns at full precision.

    Example: `python -m engine results --format csv --output results.csv`
    """
    from engine.results import results_frame
    from engine.results.formats import FORMATS

    frame = results_frame(prepare_database())
    if model is not None:
        frame = frame[frame["model_id"].str.contains(model, regex=False)]
    form = Format.JSON if json else form
    if form == Format.TABLE and output is None:
        show_results(frame)
        return
    text = FORMATS[Format.CSV if form == Format.TABLE else form](frame)
    if output is None:
        print(text)
    else:
        try:
            with disk_full_as_error(output.parent):
                output.write_text(text, encoding="utf-8")  # in place: it may be a pipe
        except OSError as error:
            raise InvalidRequest(f"{output} cannot be written: {error.strerror}.") from error
        note(f"{len(frame)} results written to {output}.")


def show_results(frame: pd.DataFrame) -> None:
    """The most asked-for columns on the terminal."""
    from engine.results import MEASURED_HERE
    from engine.results.columns import TERMINAL, header_of

    rows = [
        [_COMPOSED.get(name, itemgetter(name))(row) for name in TERMINAL]
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]
    emit_table("Results", [header_of(name) for name in TERMINAL], rows)
    for origin in sorted(set(frame["origin"]) - {MEASURED_HERE}):
        note(f"Not measured here, {origin}.")
    _doubts(frame)
    if not len(frame):
        note(f"Nothing has been measured yet; `{program()} demo` takes about two minutes.")


def _doubts(frame: pd.DataFrame) -> None:
    """Says which speeds are rough, and why."""
    measured = frame.drop_duplicates("benchmark_id")
    if (measured["stable"] == False).any():  # noqa: E712 (missing is neither)
        note("Some benchmarks did not become stable: their windows disagree by more than 5 %.")
    if (measured["achieved_gmacs_per_s"].notna() & measured["peak_share"].isna()).any():
        note("Shares of the peak are missing where it is not known yet: `peak` measures it here.")
    noisy = measured[measured["noise"].notna()]
    for row in noisy.head(MOST_REASONS).to_dict("records"):
        note(f"Noisy: {row['model_id']} {row['precision']}, {_setting(row)}: {row['noise']}.")
    if len(noisy) > MOST_REASONS:
        note(f"And {len(noisy) - MOST_REASONS} more are noisy; --json has all reasons.")
    for row in measured[measured["verdict"].notna()].to_dict("records"):
        note(f"{row['model_id']} {row['precision']}, {row['scenario']}: {row['verdict']}.")


def _setting(row: dict[str, Any]) -> str | None:
    """`b8 i2 t1` for batch, in flight and threads; several processes, scenario, noisy or not."""
    if row["batch"] is None or row["batch"] != row["batch"]:
        return None
    text = f"b{row['batch']:.0f} i{row['instances']:.0f} t{row['threads']:.0f}"
    processes = f" p{row['processes']:.0f}" if row["processes"] > 1 else ""
    scenario = "" if row["scenario"] == CLOSED_LOOP else f" {row['scenario']}"
    noisy = " (noisy)" if isinstance(row["noise"], str) else ""
    return f"{text}{processes}{scenario}{noisy}"


def _mark(row: dict[str, Any]) -> str:
    from engine.results import MEASURED_HERE

    if row["origin"] != MEASURED_HERE:
        return " (imported)"
    return " (random)" if row["weights_kind"] == "random" else ""


def _images(row: dict[str, Any]) -> Any:
    """How many images; an evaluation that is not finished says of how many."""
    if row["images"] is None or row["images"] == row["images_planned"]:
        return row["images"]
    return f"{row['images']:,.0f} of {row['images_planned']:,.0f}, partial"


def _interval(row: dict[str, Any]) -> str | None:
    low, high = row["top1_low"], row["top1_high"]
    return f"{low:.1f} to {high:.1f}" if low is not None and high is not None else None


# What the terminal makes of several columns, or shortens.
_COMPOSED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "precision": lambda row: row["precision"] + _mark(row),
    "95 %": _interval,
    "images": _images,
    "at": _setting,
    "artifact_digest": lambda row: row["artifact_digest"][:12],
}

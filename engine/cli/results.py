"""`results`: all measurements as a table, CSV, JSON, Markdown, LaTeX, HTML or Excel."""

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


class OutputFormat(StrEnum):
    """Formats of the results."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"
    LATEX = "latex"
    HTML = "html"
    EXCEL = "excel"


ROUNDED = (OutputFormat.MARKDOWN, OutputFormat.LATEX, OutputFormat.HTML)
"""Formats for reading, with the columns of the summary."""
MAX_REASONS = 4


def results(
    model: Annotated[
        str | None, typer.Option(help="Show only models whose name contains this text.")
    ] = None,
    form: Annotated[
        OutputFormat, typer.Option("--format", "-f", help="Output format.")
    ] = OutputFormat.TABLE,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write (CSV unless --format is given). Default: stdout."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="NAME[,NAME]",
            help="Columns of an export, by their keys in JSON, or `all`. Default: all in CSV, JSON "
            "and Excel, those of the summary in Markdown, LaTeX and HTML.",
        ),
    ] = None,
    per_image: Annotated[
        bool,
        typer.Option(
            "--per-image",
            help="Add to JSON which images are correct, a bit for each, so that `gate` compares "
            "two files image by image.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Shows all results, or exports them as CSV, JSON, Markdown, LaTeX, HTML or Excel.

    CSV, JSON and Excel hold all columns at full precision, Markdown, LaTeX and HTML those of the
    summary with the digits of the pages; --columns chooses. The table holds the most used ones.
    `b8 i2 t1` in it is batch size 8, concurrency 2, and 1 thread for each request.

    Example: `python -m engine results --format csv --output results.csv`
    """
    from engine.results import results_frame

    frame = results_frame(prepare_database())
    if model is not None:
        frame = frame[frame["model_id"].str.contains(model, regex=False)]
    form = OutputFormat.JSON if json else form
    if per_image:
        if form != OutputFormat.JSON:
            raise InvalidRequest("--per-image is for JSON: add --json.")
        from engine.results.gate import with_per_image

        frame = with_per_image(frame, prepare_database())
    if form == OutputFormat.TABLE and output is None:
        show_results(frame)
        return
    form = OutputFormat.CSV if form == OutputFormat.TABLE else form
    _export(_with_columns(frame, form, columns), form, output)


def _with_columns(frame: pd.DataFrame, form: OutputFormat, columns: str | None) -> pd.DataFrame:
    """The columns of an export. Raises InvalidRequest for an unknown name."""
    from engine.results.columns import columns_in_set
    from engine.results.notes import with_notes

    if columns == "all" or (columns is None and form not in ROUNDED):
        return frame
    frame = with_notes(frame)
    names = columns_in_set("Summary") if columns is None else columns.split(",")
    names = [name.strip() for name in names]
    unknown = [name for name in names if name not in frame]
    if unknown:
        raise InvalidRequest(
            f"There is no column {', '.join(unknown)}; the columns are {', '.join(frame)}."
        )
    return frame[list(dict.fromkeys(names))]


def _export(frame: pd.DataFrame, form: OutputFormat, output: Path | None) -> None:
    """Writes a file, or to stdout. Raises InvalidRequest, StorageFull."""
    from engine.results.formats import FORMATS, to_excel

    if form == OutputFormat.EXCEL and output is None:
        raise InvalidRequest("Excel is not text: give --output FILE.xlsx.")
    if output is None:
        text = FORMATS[form](frame)
        print(text, end="" if text.endswith("\n") else "\n")
        return
    content = to_excel(frame) if form == OutputFormat.EXCEL else FORMATS[form](frame).encode()
    try:
        with disk_full_as_error(output.parent):
            output.write_bytes(content)  # not replaced: it may be a pipe
    except OSError as error:
        raise InvalidRequest(f"{output} cannot be written: {error.strerror}.") from error
    note(f"{len(frame)} results written to {output}.")


def show_results(frame: pd.DataFrame) -> None:
    """Prints the most used columns, and warnings about the measurements."""
    from engine.results import MEASURED_HERE
    from engine.results.columns import TERMINAL, header_of

    rows = [
        [_CELL_FORMATS.get(name, itemgetter(name))(row) for name in TERMINAL]
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]
    emit_table("Results", [header_of(name) for name in TERMINAL], rows)
    for origin in sorted(set(frame["origin"]) - {MEASURED_HERE}):
        note(f"Not measured on this machine: {origin}.")
    _print_warnings(frame)
    if not len(frame):
        note(f"Nothing has been measured yet; `{program()} demo` takes about two minutes.")


def _print_warnings(frame: pd.DataFrame) -> None:
    """Prints which benchmarks are unreliable, and why."""
    measured = frame.drop_duplicates("benchmark_id")
    if (measured["stable"] == False).any():  # noqa: E712 (missing is neither)
        note("Some benchmarks are unstable: their interval between rounds exceeds ± 5 %.")
    if (measured["achieved_gmacs_per_s"].notna() & measured["peak_share"].isna()).any():
        note("Shares of the peak compute rate are missing; `peak` measures it on this machine.")
    disturbed = measured[measured["noise"].notna()].groupby("noise", sort=False)
    for reason, rows in list(disturbed)[:MAX_REASONS]:
        names = (f"{row['model_id']} {row['precision']}" for row in rows.to_dict("records"))
        settings = dict.fromkeys(map(_setting_text, rows.to_dict("records")))
        note(
            f"Interference: {', '.join(dict.fromkeys(names))}, "
            f"{', '.join(filter(None, settings))}: {reason}."
        )
    if disturbed.ngroups > MAX_REASONS:
        more = disturbed.ngroups - MAX_REASONS
        note(f"Interference for {more} more reasons; --json shows all.")
    states = measured[measured["machine_state"].notna()]
    for row in states.head(MAX_REASONS).to_dict("records"):
        note(f"{row['model_id']} {row['precision']}, {_setting_text(row)}: {row['machine_state']}.")
    slower = measured[measured["not_faster"].notna()]
    for row in slower.head(MAX_REASONS).to_dict("records"):
        note(f"{row['model_id']} {row['precision']}, {_setting_text(row)}: {row['not_faster']}.")
    if len(slower) > MAX_REASONS:
        more = len(slower) - MAX_REASONS
        note(f"{more} more builds are not faster than fp32; --json shows all.")
    for row in measured[measured["verdict"].notna()].to_dict("records"):
        note(f"{row['model_id']} {row['precision']}, {row['scenario']}: {row['verdict']}.")


def _setting_text(row: dict[str, Any]) -> str | None:
    """The setting of a benchmark: `b8 i2 t1` is batch size 8, concurrency 2, 1 thread each.

    Several processes and a scenario other than closed loop are added.
    """
    if row["batch"] is None or row["batch"] != row["batch"]:
        return None
    text = f"b{row['batch']:.0f} i{row['instances']:.0f} t{row['threads']:.0f}"
    processes = f" p{row['processes']:.0f}" if row["processes"] > 1 else ""
    scenario = "" if row["scenario"] == CLOSED_LOOP else f" {row['scenario']}"
    return f"{text}{processes}{scenario}"


def _conditions_text(row: dict[str, Any]) -> str | None:
    """The setting of a benchmark, marked if there was interference."""
    setting = _setting_text(row)
    return f"{setting} (interference)" if setting and isinstance(row["noise"], str) else setting


def _origin_mark(row: dict[str, Any]) -> str:
    from engine.results import MEASURED_HERE

    if row["origin"] != MEASURED_HERE:
        return " (imported)"
    return " (random)" if row["weights_kind"] == "random" else ""


def _images_text(row: dict[str, Any]) -> Any:
    """Number of evaluated images; of a partial evaluation also the planned number."""
    if row["images"] is None or row["images"] == row["images_planned"]:
        return row["images"]
    return f"{row['images']:,.0f} of {row['images_planned']:,.0f}, partial"


def _interval_cell(row: dict[str, Any]) -> str | None:
    low, high = row["top1_low"], row["top1_high"]
    return f"{low:.1f} to {high:.1f}" if low is not None and high is not None else None


def _speed_up_cell(row: dict[str, Any]) -> str | None:
    """`2.22 (1.89 to 2.57)`; without the interval where there is none."""
    if row["speed_up"] is None:
        return None
    low, high = row["speed_up_low"], row["speed_up_high"]
    interval = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
    return f"{row['speed_up']:.2f}{interval}"


# Cells that combine several columns or shorten one.
_CELL_FORMATS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "precision": lambda row: row["precision"] + _origin_mark(row),
    "95 %": _interval_cell,
    "images": _images_text,
    "speed_up": _speed_up_cell,
    "at": _conditions_text,
    "artifact_digest": lambda row: row["artifact_digest"][:12],
}

"""Export of result tables: CSV, JSON, Excel at full precision; Markdown, LaTeX, HTML rounded."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from engine.results.columns import COLUMNS, Column, export_header_of, header_of
from engine.text import MISSING, is_missing, printable

_UNKNOWN_COLUMN = Column("", "", "", format_spec=",.6g")


def to_csv(frame: pd.DataFrame) -> str:
    """CSV with units in the headers and unrounded values; a missing value is an empty cell.

    A text that a spreadsheet would run as a formula gets the prefix `'`; numbers stay numbers.
    """
    return str(
        _without_formulas(with_integers(frame)).rename(columns=export_header_of).to_csv(index=False)
    )


def with_integers(frame: pd.DataFrame) -> pd.DataFrame:
    """Integer columns as `Int64`: pandas turns them into floats where a value is missing."""
    integers = [name for name in frame.columns if name in COLUMNS and COLUMNS[name].is_integer]
    return frame.astype(dict.fromkeys(integers, "Int64"))


def _without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    is_text = pd.api.types.is_string_dtype, pd.api.types.is_object_dtype
    texts = [n for n, kind in frame.dtypes.items() if any(check(kind) for check in is_text)]
    return frame.assign(**{str(n): frame[n].map(_no_formula, na_action="ignore") for n in texts})


def _no_formula(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    begins = value.lstrip()[:1] in _FORMULA_SIGNS or value[:1] in _FORMULA_BLANKS
    return f"'{printable(value)}" if value and begins else printable(value)


# Source: OWASP, "CSV injection"; with the full-width forms of East Asian keyboards.
_FORMULA_SIGNS, _FORMULA_BLANKS = "=+-@＝＋－＠", "\t\r\n"


def to_json(frame: pd.DataFrame) -> str:
    """JSON list of objects with the column keys; a missing value is null."""
    return json.dumps(to_records(frame), indent=1)


def to_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain Python values, ready for JSON; counts are integers."""
    text = with_integers(frame).to_json(orient="records", date_format="iso", double_precision=15)
    records: list[dict[str, Any]] = json.loads(text or "[]")
    return records


def to_markdown(frame: pd.DataFrame) -> str:
    """Markdown table with rounded numbers; markup, links and HTML in texts are escaped."""
    return _table(frame, "pipe", escape_markdown) + "\n"


def escape_markdown(text: str) -> str:
    escaped = "".join(_MARKDOWN.get(character, character) for character in text)
    return _BARE_LINK.sub(r"\1\\\2", _OUTER_UNDERSCORE.sub(r"\_", escaped))


_MARKDOWN = {
    **{character: f"\\{character}" for character in "\\`*[]|~$#!"},
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
}
# An underscore inside a word (legacy_senet154) is not markup.
_OUTER_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# Many Markdown readers turn these into links without markup.
_BARE_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|javascript|www)([:.])")


def to_latex(frame: pd.DataFrame) -> str:
    r"""LaTeX `tabular` without extra packages; numbers rounded, special characters escaped."""
    return _table(frame, "latex_raw", _latex) + "\n"


def _table(frame: pd.DataFrame, table_format: str, escape: Callable[[str], str]) -> str:
    """A table in a format of the library tabulate; numbers are right-aligned."""
    from tabulate import tabulate

    columns = [COLUMNS.get(name, _UNKNOWN_COLUMN) for name in frame.columns]
    rows = [
        [escape(column.text(value)) for column, value in zip(columns, row, strict=True)]
        for row in frame.itertuples(index=False)
    ]
    if table_format == "latex_raw" and not rows:  # tabulate would write a table without columns
        rows = [[MISSING] * len(columns)]
    return tabulate(
        rows,
        headers=[escape(header_of(name)) for name in frame.columns],
        tablefmt=table_format,
        colalign=[
            "right" if pd.api.types.is_numeric_dtype(kind) else "left" for kind in frame.dtypes
        ],
        disable_numparse=True,
    )


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "`": r"\textasciigrave{}",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≠": r"$\neq$",
    "±": r"$\pm$",
    "…": r"\ldots{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    # After the end of a row (`\\`), LaTeX reads these as arguments.
    **{character: f"{{{character}}}" for character in "[]*"},
}


TABLE_STYLE = """
table { border-collapse: collapse; font-size: 12px; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #dedcd7; padding: 4px 5px; text-align: left;
         vertical-align: top; } th { vertical-align: bottom; }
td { overflow-wrap: anywhere; } td:first-child { min-width: 11em; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""
"""Style of `html_table`: the default columns fit a page of 1,280 pixels; words of headers stay."""


def html_table(frame: pd.DataFrame) -> str:
    """A `<table>` with units in the headers and rounded numbers; texts are escaped."""
    columns = [COLUMNS.get(name, _UNKNOWN_COLUMN) for name in frame.columns]
    head = "".join(f'<th scope="col">{html.escape(header_of(name))}</th>' for name in frame.columns)
    body = "".join(
        f"<tr>{''.join(_html_cell(*cell) for cell in zip(columns, row, strict=True))}</tr>"
        for row in frame.itertuples(index=False)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_cell(column: Column, value: object) -> str:
    kind = ' class="number"' if column.is_number and not is_missing(value) else ""
    return f"<td{kind}>{html.escape(column.text(value))}</td>"


def to_html(frame: pd.DataFrame) -> str:
    """A page with the table of results; one self-contained file."""
    style = f"body {{ font: 15px/1.5 system-ui, sans-serif; color: #1f1e1c; }}{TABLE_STYLE}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>SENet Workbench: results'
        f"</title><style>{style}</style></head><body>{html_table(frame)}</body></html>\n"
    )


def to_excel(frame: pd.DataFrame) -> bytes:
    """Excel workbook with one sheet: headers frozen, with a filter; formulas stay text."""
    plain = with_integers(frame).rename(columns=export_header_of)
    for name in plain.columns:
        if isinstance(plain[name].dtype, pd.DatetimeTZDtype):
            plain[name] = plain[name].dt.tz_localize(None)  # Excel has no time zones
    stream = io.BytesIO()
    options = {"strings_to_formulas": False, "strings_to_urls": False}
    with pd.ExcelWriter(stream, engine="xlsxwriter", engine_kwargs={"options": options}) as book:
        plain.to_excel(book, sheet_name="results", index=False, freeze_panes=(1, 1))
        sheet = book.sheets["results"]
        sheet.autofilter(0, 0, len(plain), len(plain.columns) - 1)
        sheet.autofit()
    return stream.getvalue()


FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "csv": to_csv,
    "json": to_json,
    "markdown": to_markdown,
    "latex": to_latex,
    "html": to_html,
}

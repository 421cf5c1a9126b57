"""Result tables: CSV, JSON and Excel at full precision; Markdown and LaTeX for people."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from engine.results import COLUMNS
from engine.text import printable

MARKDOWN_DIGITS = 2


def to_csv(frame: pd.DataFrame) -> str:
    """Headers with units, values as they are; empty where nothing was measured.

    A text that a spreadsheet would take for a formula gets a `'` before it, as in a spreadsheet;
    numbers stay numbers.
    """
    return str(_without_formulas(frame).rename(columns=COLUMNS).to_csv(index=False))


def _without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    is_text = pd.api.types.is_string_dtype, pd.api.types.is_object_dtype
    texts = [n for n, kind in frame.dtypes.items() if any(holds(kind) for holds in is_text)]
    return frame.assign(**{str(n): frame[n].map(_no_formula, na_action="ignore") for n in texts})


def _no_formula(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    begins = value.lstrip()[:1] in _FORMULA_SIGNS or value[:1] in _FORMULA_BLANKS
    return f"'{printable(value)}" if value and begins else printable(value)


# As OWASP lists them under "CSV injection"; the wide forms are those of East Asian keyboards.
_FORMULA_SIGNS, _FORMULA_BLANKS = "=+-@＝＋－＠", "\t\r\n"


def to_json(frame: pd.DataFrame) -> str:
    """A list of objects under the plain column names; null where nothing was measured."""
    return json.dumps(to_records(frame), indent=1)


def to_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Plain Python values, ready for JSON."""
    text = frame.to_json(orient="records", date_format="iso", double_precision=15)
    records: list[dict[str, Any]] = json.loads(text or "[]")
    return records


def to_markdown(frame: pd.DataFrame) -> str:
    """A table with rounded numbers; text is no markup, no link and no HTML."""
    header = [_markdown(COLUMNS.get(name, name)) for name in frame.columns]
    rows = [[_markdown(_cell(value)) for value in row] for row in frame.itertuples(index=False)]
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _markdown(text: str) -> str:
    escaped = "".join(_MARKDOWN.get(character, character) for character in text)
    return _BARE_LINK.sub(r"\1\\\2", _OUTER_UNDERSCORE.sub(r"\_", escaped))


_MARKDOWN = {
    **{character: f"\\{character}" for character in "\\`*[]|~$#!"},
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
}
# One inside a word, as in legacy_senet154, is no markup.
_OUTER_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# What many readers make a link of without any markup.
_BARE_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|javascript|www)([:.])")


def to_latex(frame: pd.DataFrame) -> str:
    r"""A `tabular` that needs no package, with rounded numbers; special characters escaped."""
    numeric = ["r" if pd.api.types.is_numeric_dtype(kind) else "l" for kind in frame.dtypes]
    header = [_latex(COLUMNS.get(name, name)) for name in frame.columns]
    rows = [[_latex(_cell(value)) for value in row] for row in frame.itertuples(index=False)]
    body = "\n".join(" & ".join(line) + r" \\" for line in rows)
    return (
        f"\\begin{{tabular}}{{{''.join(numeric)}}}\n\\hline\n"
        f"{' & '.join(header)} \\\\\n\\hline\n{body}\n\\hline\n\\end{{tabular}}\n"
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
    # After the end of a row these would belong to it.
    **{character: f"{{{character}}}" for character in "[]*"},
}


def to_excel(frame: pd.DataFrame) -> bytes:
    """One sheet with headers, frozen and filterable.

    A text that begins like a formula stays a text.
    """
    plain = frame.rename(columns=COLUMNS)
    for name in plain.columns:
        if isinstance(plain[name].dtype, pd.DatetimeTZDtype):
            plain[name] = plain[name].dt.tz_localize(None)  # Excel knows no time zones
    stream = io.BytesIO()
    options = {"strings_to_formulas": False, "strings_to_urls": False}
    with pd.ExcelWriter(stream, engine="xlsxwriter", engine_kwargs={"options": options}) as book:
        plain.to_excel(book, sheet_name="results", index=False, freeze_panes=(1, 1))
        sheet = book.sheets["results"]
        sheet.autofilter(0, 0, len(plain), len(plain.columns) - 1)
        sheet.autofit()
    return stream.getvalue()


def _cell(value: Any) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if value == int(value) else f"{value:,.{MARKDOWN_DIGITS}f}"
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M")
    return printable(" ".join(str(value).split()))


FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "csv": to_csv,
    "json": to_json,
    "markdown": to_markdown,
    "latex": to_latex,
}

"""Names in exported tables stay names: no formula, no markup, no LaTeX; numbers stay numbers."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import openpyxl
import pandas as pd
import pytest

from engine.results.formats import to_csv, to_excel, to_json, to_latex, to_markdown

FORMULAS = ["=cmd|' /C calc'!A0", "@SUM(A1)", "+1", "-2+3", "\t=1", "\r=1", " =1", "＝1"]


def cells(line: str, separator: str) -> list[str]:
    """The cells of a line, which only an unescaped separator parts; without their padding."""
    return [cell.strip() for cell in re.split(rf"(?<!\\){re.escape(separator)}", line)]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_spreadsheet_computes_nothing(name: str) -> None:
    frame = pd.DataFrame({"model_id": [name, None], "top1": [-1.5, 2.0], "batch": [-3, 4]})
    (header, row, empty) = csv.reader(io.StringIO(to_csv(frame), newline=""))
    assert header == ["model", "top-1 (%)", "batch"]
    assert row[0].startswith("'")
    assert row[0].strip("'").strip() == name.replace("\r", "\\r").strip()
    assert row[1:] == ["-1.5", "-3"]
    assert empty == ["", "2.0", "4"]
    sheet = openpyxl.load_workbook(io.BytesIO(to_excel(frame))).active
    assert sheet is not None
    assert (sheet["A2"].data_type, sheet["B2"].value, sheet["C2"].value) == ("s", -1.5, -3)


def test_numbers_among_objects_stay_numbers() -> None:
    frame = pd.DataFrame({"top1": pd.Series([-1.5, None, "-x"], dtype=object)})
    assert to_csv(frame).splitlines()[1:] == ["-1.5", '""', "'-x"]


def test_ordinary_names_are_not_touched() -> None:
    frame = pd.DataFrame({"model_id": ["timm/legacy_senet154", "onnx/a-b+c"]})
    assert to_csv(frame).splitlines()[1:] == frame["model_id"].tolist()
    assert cells(to_markdown(frame).splitlines()[2], "|")[1] == "timm/legacy_senet154"


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("a\nb\r\nc", "a b c"),
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        ("[x](http://y)", r"\[x\](http\://y)"),
        ("![x](y)", r"\!\[x\](y)"),
        ("https://y www.y.z", r"https\://y www\.y.z"),
        ("*a* _b_ `c` ~~d~~ $e$", r"\*a\* \_b\_ \`c\` \~\~d\~\~ \$e\$"),
        ("a&b \\ c", r"a&amp;b \\ c"),
        ("\x1b[31m", r"\\x1b\[31m"),
    ],
)
def test_markdown_shows_the_name(name: str, escaped: str) -> None:
    text = to_markdown(pd.DataFrame({"model_id": [name], "top1": [-1.0]}))
    assert cells(text.splitlines()[2].strip("|"), "|") == [escaped, "-1.00"]


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a|b", r"a\textbar{}b"),
        (r"a\b", r"a\textbackslash{}b"),
        ("50% & #1_{x} $y$", r"50\% \& \#1\_\{x\} \$y\$"),
        ("a~b^c<d>", r"a\textasciitilde{}b\textasciicircum{}c\textless{}d\textgreater{}"),
        ("[/]", "{[}/{]}"),
        ("*", "{*}"),
        ("a\nb", "a b"),
    ],
)
def test_latex_escapes_once(name: str, escaped: str) -> None:
    text = to_latex(pd.DataFrame({"model_id": [name], "top1": [-1.0]}))
    line = text.splitlines()[4]
    assert line.endswith(r" \\")
    assert cells(line.removesuffix(r"\\"), "&") == [escaped, "-1.00"]
    assert not re.search(r"\\\\\s*[\[*]", text), "an argument of the end of a row"


@pytest.mark.parametrize("write", [to_markdown, to_latex])
def test_a_table_without_rows_keeps_its_columns(write: Callable[[pd.DataFrame], str]) -> None:
    text = write(pd.DataFrame({"model_id": [], "top1": pd.Series([], dtype=float)}))
    assert "model" in text
    assert "tabular}{}" not in text


def test_counts_are_integers_also_where_some_are_missing() -> None:
    frame = pd.DataFrame(
        {"images": [200.0, None], "batch": [8.0, None], "top1": [80.0, None], "model_id": "m"}
    )
    assert json.loads(to_json(frame)) == [
        {"images": 200, "batch": 8, "top1": 80.0, "model_id": "m"},
        {"images": None, "batch": None, "top1": None, "model_id": "m"},
    ]
    assert '"images": 200,' in to_json(frame)
    assert to_csv(frame).splitlines()[1:] == ["200,8,80.0,m", ",,,m"]
    sheet = openpyxl.load_workbook(io.BytesIO(to_excel(frame))).active
    assert sheet is not None
    assert (sheet["A2"].value, sheet["A3"].value) == (200, None)

"""The table of columns: complete, and read by exports, terminal and pages."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import inspect

from dashboard.components.results.table import table_column
from db.models import Benchmark, Evaluation
from engine.cli.results import _CELL_FORMATS
from engine.results import results_frame
from engine.results.columns import (
    COLUMNS,
    COUNT,
    IDENTITY,
    PROVENANCE_KEYS,
    SETS,
    STORED,
    SWEEP,
    TERMINAL,
    TIMESTAMP,
    Column,
    columns_in_set,
    header_of,
    selectable_columns,
)
from engine.results.formats import FORMATS, to_json
from engine.specs.comparability import SAME_CONDITIONS, SAME_EVALUATION
from tests.support import rows


@pytest.mark.parametrize("column", COLUMNS.values(), ids=lambda column: column.key)
def test_every_column_has_a_title_and_a_help(column: Column) -> None:
    assert column.title
    assert column.help.endswith(".")
    assert column.help[0].isupper() or column.help[0].isdigit()
    assert not column.unit or column.unit not in column.title
    sample = pd.Timestamp("2026-01-02 03:04") if column.format_spec == TIMESTAMP else 12
    assert column.text(sample)
    assert column.text(None) == column.text(float("nan")) == "–"
    assert table_column(column)["label"] in (column.header, column.title)


def test_headers_are_unique() -> None:
    for headers in (
        [column.header for column in COLUMNS.values()],
        [column.export_header for column in COLUMNS.values()],
    ):
        assert len(set(headers)) == len(headers)


@pytest.mark.parametrize(
    "names",
    [
        *SETS.values(),
        IDENTITY,
        SWEEP,
        PROVENANCE_KEYS,
        SAME_CONDITIONS,
        SAME_EVALUATION,
    ],
)
def test_sets_and_keys_are_of_known_columns(names: tuple[str, ...]) -> None:
    assert set(names) <= set(COLUMNS)
    assert len(set(names)) == len(names)


def test_the_terminal_shows_columns_or_composes_them() -> None:
    assert set(TERMINAL) <= set(COLUMNS) | set(_CELL_FORMATS)
    assert set(_CELL_FORMATS) <= set(TERMINAL)


def test_every_column_can_be_chosen_and_an_unknown_set_is_the_first() -> None:
    assert {*selectable_columns(), *IDENTITY} == set(COLUMNS)
    assert columns_in_set("x") == columns_in_set("Summary") == [*IDENTITY, *SETS["Summary"]]
    assert header_of("x") == "x"


def test_whole_numbers_of_the_database_are_counts_here() -> None:
    for table in (Benchmark, Evaluation):
        for column in inspect(table).columns:
            if column.name in STORED and column.type.python_type is int:
                assert COLUMNS[column.name].is_integer, column.name


def test_counts_are_integers_in_every_export(url: str, tmp_path: Path) -> None:
    rows.add_measured_model(url)
    rows.add_measured_model(url, "speed_only", right={})
    frame = results_frame(url)
    counts = [name for name in STORED if COLUMNS[name].is_integer]
    assert "images" in counts
    for record in json.loads(to_json(frame)):
        for name in counts:
            assert record[name] is None or type(record[name]) is int, name
    assert ".0," not in FORMATS["csv"](frame[counts])


def test_digits() -> None:
    assert COLUMNS["images"].text(12345.0) == "12,345"
    assert COLUMNS["images"].format_spec == COUNT
    assert COLUMNS["top1"].text(81.256) == "81.26"
    assert COLUMNS["stable"].text(True) == "yes"
    assert COLUMNS["dataset"].text("a\n\x1b b") == "a \\x1b b"
    assert COLUMNS["measured_at"].text(pd.Timestamp("2026-01-02 03:04:05")) == "2026-01-02 03:04"

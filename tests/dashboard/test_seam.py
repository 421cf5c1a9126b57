"""A new runtime and a new precision appear on the pages by their entries in two tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard import queries
from dashboard.palette import DARK, LIGHT
from dashboard.report import report
from engine.results.columns import columns_in_set
from engine.results.formats import to_csv, to_markdown
from engine.results.notes import with_notes
from engine.results.provenance import with_provenance
from engine.specs import DEFAULT_RUNTIME
from tests.support import rows
from tests.support.fakes import FACTS, LABEL, PRECISION, RUNTIME, fake_seam
from tests.support.measured import run_tiny
from tests.support.pages import figures, opened, plain_texts


@pytest.fixture
def measured(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with fake_seam():
        words = ("-p", "fp32", "-p", PRECISION, "--runtime", RUNTIME)
        assert run_tiny(url, tmp_path, monkeypatch, *words) == 0
        yield url


def test_compare_shows_both(measured: str) -> None:
    app = opened()
    drawn = json.dumps(figures(app))
    assert FACTS.light in drawn
    assert FACTS.symbol in drawn
    assert f"{RUNTIME} 0.1" in drawn, "in the card of each mark"
    assert f"{PRECISION} vs fp32" in plain_texts(app)
    for view in (
        "Latency",
        "Batch scaling",
        "Best operating point",
        "Parallel coordinates",
        "Model vs baseline",
    ):
        assert not opened(view=view).exception


def test_results_and_exports_hold_both(measured: str) -> None:
    app = opened("results")
    shown = app.dataframe[0].value
    assert {name for given in shown["precision"] for name in given} == {"fp32", PRECISION}
    frame = with_notes(queries.results(), queries.outdated_environments())
    columns = columns_in_set("Summary")
    assert "runtime" in columns
    for text in (to_csv(frame[columns]), to_markdown(frame[columns])):
        assert PRECISION in text
        assert f"{RUNTIME} 0.1" in text
    assert PRECISION in report(frame, columns, "all")
    told = json.loads(with_provenance(frame, columns, measured))
    assert {row["precision"] for row in told["results"]} == {"fp32", PRECISION}


def test_new_run_offers_both(measured: str) -> None:
    app = opened("new_run")
    assert PRECISION in app.pills("precisions").options
    assert LABEL in app.pills("runtimes").options


def test_one_runtime_is_no_question_on_compare_and_results(url: str) -> None:
    rows.add_measured_model(url)
    assert "runtime" not in {widget.key for widget in opened().selectbox}
    assert "runtime" not in {widget.key for widget in opened("results").get("button_group")}


def test_compare_and_results_choose_among_runtimes(
    measured: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_tiny(measured, tmp_path, monkeypatch, "-p", "fp32", "-r", DEFAULT_RUNTIME) == 0
    app = opened()
    assert app.selectbox(key="runtime").options == [
        "best runtime",
        "each runtime",
        "ONNX Runtime",
        LABEL,
    ]
    best = set(app.multiselect(key="picked").options)
    assert len(best) == 2
    app.selectbox(key="runtime").set_value("each runtime").run()
    each = set(app.multiselect(key="picked").options)
    assert len(each) == 3
    assert any(f"fp32 in {LABEL}" in key for key in each)
    app.selectbox(key="runtime").set_value(RUNTIME).run()
    assert len(app.multiselect(key="picked").options) == 2
    assert not app.exception
    app = opened("results")
    app.pills("runtime").set_value([RUNTIME]).run()
    assert set(app.dataframe[0].value["runtime"]) == {f"{RUNTIME} 0.1"}


def test_the_color_is_that_of_the_theme(measured: str) -> None:
    assert LIGHT.precisions[PRECISION] == FACTS.light
    assert DARK.precisions[PRECISION] == FACTS.dark

"""What is exported is what is shown: same rows, same columns, same order, nothing rounded."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pandas as pd
import pytest

from dashboard import queries
from dashboard.charts.accuracy import ChartOptions, accuracy_chart
from dashboard.charts.cost_axes import THROUGHPUT
from dashboard.charts.svg import LEFT, RIGHT, WIDTH, to_svg
from dashboard.palette import LIGHT
from dashboard.report import report
from db.models import Environment
from db.session import writing
from engine.results.columns import SETS, columns_in_set
from engine.results.formats import to_csv, to_excel, to_latex
from engine.results.notes import with_notes
from engine.results.provenance import with_provenance
from engine.results.recommend import stored_evidence
from tests.support import rows
from tests.support.pages import opened, texts
from tests.support.points import point

COLUMNS = columns_in_set("Summary")


@pytest.fixture
def frame(url: str) -> pd.DataFrame:
    rows.add_measured_model(url)
    rows.add_measured_model(url, "b&d_50%", right={"fp32": 700, "int8": 690}, dataset="other")
    return with_notes(queries.results(), queries.outdated_environments())


def test_json_holds_all_that_made_each_result(url: str, frame: pd.DataFrame) -> None:
    found = json.loads(with_provenance(frame, COLUMNS, url))
    assert len(found["results"]) == len(frame) == 5
    assert list(found["columns"])[: len(COLUMNS)] == COLUMNS
    for result in found["results"]:
        artifact = found["artifacts"][result["artifact_digest"]]
        assert artifact["precision"] == result["precision"]
        assert artifact["weights_digest"] in found["weights"]
        evaluation = found["evaluations"][str(int(result["evaluation_id"]))]
        assert evaluation["images"] == 1000
        assert evaluation["dataset_digest"] in found["datasets"]
        assert found["benchmarks"][str(int(result["benchmark_id"]))]["protocol"]["windows"] == 3
        assert evaluation["environment_digest"] in found["machines"]
    assert "/data/" not in json.dumps(found)  # where a folder lies is of this machine


def test_csv_has_the_columns_shown_in_their_order(frame: pd.DataFrame) -> None:
    read = list(csv.reader(io.StringIO(to_csv(frame[COLUMNS]))))
    names = ["model", "precision", "runtime", "top-1 (%)", "images/s"]
    assert read[0][:5] == names
    assert [row[1] for row in read[1:]] == frame["precision"].tolist()
    assert float(read[1][4]) == frame["images_per_s"].iloc[0]


def test_latex_is_a_table_whose_names_are_text(frame: pd.DataFrame) -> None:
    text = to_latex(frame[COLUMNS])
    assert r"timm/b\&d\_50\%" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 1 + len(frame)
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(COLUMNS) - 1}
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1


def test_excel_holds_numbers_as_numbers(frame: pd.DataFrame) -> None:
    hostile = frame.assign(model_id="=1+1")[COLUMNS]
    sheet = openpyxl.load_workbook(io.BytesIO(to_excel(hostile))).active
    assert [cell.value for cell in sheet[1]][:4] == ["model", "precision", "runtime", "top-1 (%)"]
    assert sheet.max_row == 1 + len(frame)
    assert sheet["A2"].data_type == "s"
    assert sheet["D2"].value == frame["top1"].iloc[0]


def test_excel_is_offered(url: str) -> None:
    rows.add_measured_model(url)
    labels = [button.label for button in opened("results").get("download_button")]
    assert labels == ["CSV", "Excel", "JSON with provenance", "Markdown", "LaTeX", "HTML report"]


def test_the_report_is_one_file_that_asks_nobody(frame: pd.DataFrame, tmp_path: Path) -> None:
    page = report(frame, COLUMNS, "all <models>.")
    assert not re.search(r"""(src|href)\s*=|url\(|@import|cdn|<script""", page)
    assert len(page) < 200_000
    assert "all &lt;models&gt;." in page
    assert page.count("<svg") == 4  # two sets of images, two charts each
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        titles = ElementTree.fromstring(svg).findall(".//title")
        assert len(titles) in (2, 3), "each mark has its card"
        assert "top-1" in str(titles[0].text)
    assert page.count("<tr>") == 1 + len(frame)
    assert "b&amp;d" in page
    assert "Wilson" in page


def test_a_static_chart_has_the_marks_and_limits_of_its_figure() -> None:
    points = pd.DataFrame([point("fp32", 80.0, 10.0), point("int8", 79.0, 30.0)])
    options = ChartOptions("val", "batch 1", limit=20.0, min_top1=78.0)
    figure = accuracy_chart(points, THROUGHPUT, LIGHT, options)
    root = ElementTree.fromstring(to_svg(figure, LIGHT, "two <builds>"))
    assert root.get("aria-label") == "two <builds>"
    low, high = figure.layout.xaxis.range
    mark = root.find("g/circle")
    assert mark is not None
    share = (math.log10(10.0) - low) / (high - low)
    place = LEFT + share * (WIDTH - LEFT - RIGHT)
    assert float(mark.get("cx", "0")) == pytest.approx(place, abs=0.1)
    assert mark.get("stroke") == LIGHT.precisions["fp32"]
    dashed = [line for line in root.iter("line") if line.get("stroke-dasharray") == "6 4"]
    assert len(dashed) == 2
    assert "images/s" in "".join(root.itertext())
    (name,) = [text for text in root.iter("text") if text.text == "a"]
    assert abs(float(name.get("x", "0")) - place) < 20, "the name is beside its mark"


def test_a_report_without_accuracy_has_a_table(url: str) -> None:
    rows.add_measured_model(url, weights_kind="random")
    page = report(with_notes(queries.results()), columns_in_set("Speed"), "x")
    assert "<figure" not in page
    assert "<table" in page


def test_own_columns_and_order_are_what_is_exported(url: str) -> None:
    rows.add_measured_model(url)
    app = opened("results", columns="Custom", sort="images_per_s", rising="true")
    app.multiselect(key="own_columns").set_value(["size_mb", "images_per_s"]).run()
    shown = app.dataframe[0].value
    assert list(shown.columns) == ["model_id", "precision", "size_mb", "images_per_s"]
    assert shown["images_per_s"].tolist() == [10, 20, 30]
    assert "4 columns shown" in texts(app)


def test_old_versions_are_named(url: str) -> None:
    rows.add_measured_model(url)
    with writing(url) as session:
        facts = {"packages": {"onnxruntime": "0.1"}}
        session.get(Environment, rows.MACHINE).facts = facts
    notes = opened("results").dataframe[0].value["notes"]
    assert notes.str.contains("with onnxruntime 0.1, now").all()


def test_a_long_table_says_what_is_left_out(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.components.results import filters

    rows.add_measured_model(url)
    monkeypatch.setattr(filters, "MAX_ROWS", 2)
    app = opened("results")
    assert "The first 2 of 3 rows" in texts(app)
    assert len(app.dataframe[0].value) == 2
    assert app.selectbox(key="speed").value != "any"


@pytest.mark.parametrize("name", list(SETS))
def test_every_set_of_columns_is_shown(url: str, name: str) -> None:
    rows.add_measured_model(url)
    app = opened("results", columns=name)
    assert list(app.dataframe[0].value.columns) == columns_in_set(name)


def test_the_report_begins_with_the_recommendation(url: str, frame: pd.DataFrame) -> None:
    page = report(frame, COLUMNS, "all", stored_evidence(url))
    answer = page.index("Inconclusive: timm/seresnet50 int8.")
    assert page.index("<h1>") < answer < page.index("Accuracy vs throughput") < page.index("<table")
    assert page.index("Inconclusive: timm/b&amp;d_50% int8.") < page.index("<table")

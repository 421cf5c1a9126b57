"""The Compare page: the answer, the drawer, every view, and what is not comparable."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from dashboard.charts import batches, latency
from dashboard.charts.classes import class_changes, worst_classes
from dashboard.charts.parallel_coordinates import parallel_coordinates
from dashboard.charts.sweep import latency_against_throughput
from dashboard.components.common import package
from dashboard.components.compare import side_by_side
from dashboard.components.compare.side_by_side import (
    MAX_BUILDS,
    PICKED,
    accuracy_difference,
    pick_from,
)
from dashboard.palette import LIGHT
from db.models import Artifact, Job
from db.session import reading
from engine.benchmark.sweep import Percentile, find_best_operating_point
from engine.config import settings
from engine.jobs import dispatcher
from engine.results.groups import with_keys
from engine.specs import SessionSpec
from engine.store.artifacts import MODEL_FILE, folder_of
from tests.support import rows
from tests.support.pages import missing, opened, texts
from tests.support.points import point


def model_path_of(digest: str) -> Path:
    return folder_of(digest) / MODEL_FILE


VIEWS = (
    "Precision comparison",
    "Accuracy loss",
    "Latency",
    "Batch scaling",
    "Best operating point",
    "Parallel coordinates",
)


def specs(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def test_the_answer_names_model_precision_and_state(url: str) -> None:
    rows.add_measured_model(url)
    (answer,) = opened(most_drop="3").success
    said = answer.value.replace("\\", "")
    assert not missing(said, "Meets constraints: timm/seresnet50 int8", "−1.00", "fp32")


def test_limits_change_the_answer(url: str) -> None:
    rows.add_measured_model(url)
    app = opened()
    assert "Inconclusive" in app.warning[0].value, "the drop of 1.00 pp is at its limit"
    app.number_input(key="most_drop").set_value(0.5).run()
    assert not missing(app.warning[0].value, "Likely, more images needed", "fp16", "more images")
    assert not app.success
    app.number_input(key="most_size").set_value(1.0).run()
    said = app.warning[0].value.replace("\\", "")
    assert not missing(
        said, "No build meets all constraints (0 of 3)", "Nearest", "above the limit"
    )


def test_an_address_brings_back_the_choices(url: str) -> None:
    rows.add_measured_model(url)
    app = opened(most_drop="0.5", view="Latency", prefer="fastest")
    assert app.number_input(key="most_drop").value == 0.5
    assert app.segmented_control(key="prefer").value == "throughput", "its name in old links"
    assert not missing(app.warning[0].value, "fp16")
    assert not missing(texts(app), "raw latencies")


def test_a_disturbed_speed_is_measured_again_when_quiet(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.add_measured_model(url, noise=["other processes used 1.80 cores"])
    monkeypatch.setattr(dispatcher, "ensure_dispatcher", lambda: True)
    app = opened(most_drop="3")
    assert not app.success
    assert not missing(app.warning[0].value.replace("\\", ""), "Inconclusive", "1.80 cores")
    app.button(key="measure_again").click().run()
    with reading(url) as session:
        spec = SessionSpec.from_params(session.scalars(select(Job)).one().params)
    assert spec.quiet_wait_s > 0
    assert len(spec.benchmarks) == 3
    assert {one.batch for one in spec.benchmarks} == {1}


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_stands(url: str, view: str) -> None:
    rows.add_measured_model(url)
    rows.add_measured_model(url, "other", dataset="second", right={"fp32": 700})
    app = opened(view=view)
    assert not app.error
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))


def test_the_recommended_build_can_be_taken_home(url: str) -> None:
    rows.add_measured_model(url)
    app = opened(most_drop="3")
    assert not any("def classify" in block.value for block in app.code)
    assert "build it again" in texts(app), "its file is missing"
    with reading(url) as session:
        digest = session.scalars(select(Artifact).where(Artifact.precision == "int8")).one().digest
    model_path_of(digest).write_bytes(b"model")
    command, script = (block.value for block in opened(most_drop="3").code)
    assert f"package {digest[:12]} -r onnxruntime" in command
    assert not missing(script, "def prepare", "def classify", "import onnxruntime")


def test_a_large_package_is_written_to_the_data_folder(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.add_measured_model(url)
    with reading(url) as session:
        digest = session.scalars(select(Artifact).where(Artifact.precision == "int8")).one().digest
    model_path_of(digest).write_bytes(b"model")
    monkeypatch.setattr(package, "MAX_DOWNLOAD_BYTES", 4)
    app = opened(most_drop="3")
    app.button(key="package_write_recommended").click().run()
    assert not app.exception
    (written,) = (settings().home / "packages").glob("*.zip")
    with zipfile.ZipFile(written) as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert {"model.onnx", "classify.py", "labels.json"} <= names
    assert any(written.name in box.value for box in app.success)


def test_picked_builds_stand_side_by_side(url: str) -> None:
    rows.add_measured_model(url)
    app = opened(picked="timm/seresnet50 fp32")
    assert not missing(texts(app), "two or more")
    app.multiselect(key=PICKED).set_value(["timm/seresnet50 fp32", "timm/seresnet50 int8"]).run()
    said = texts(app).replace("\\", "")
    assert "B vs A" in said
    assert not missing(said, "−1.00", "3.00 ×")
    table = next(d.value for d in app.dataframe if "fact" in d.value)
    assert "Artifact · precision" in set(table["fact"])
    assert "Artifact · model" not in set(table["fact"])  # equal on both sides
    app.toggle(key="differences").set_value(False).run()
    table = next(d.value for d in app.dataframe if "fact" in d.value)
    assert "Artifact · model" in set(table["fact"])


def test_points_selected_in_a_chart_are_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict = {PICKED: ["old"]}
    monkeypatch.setattr(st, "session_state", state)
    points = [{"customdata": ["card", f"k{n}"]} for n in range(2)] + [{"x": 1}]
    state["throughput"] = {"selection": {"points": points}}
    pick_from("throughput")
    assert state[PICKED] == ["old", "k0", "k1"]
    state["throughput"]["selection"]["points"] = [
        {"customdata": ["card", f"n{n}"]} for n in range(6)
    ]
    pick_from("throughput")
    assert len(state[PICKED]) == MAX_BUILDS


def test_not_comparable_is_said_in_words() -> None:
    measured = {"top1": 80.0, "preprocess": "p"}
    assert "not comparable" in accuracy_difference(measured, {**measured, "top1": None}, None)
    assert "per-image results" in accuracy_difference(measured, measured, None)


def test_facts_that_differ_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {
        "a": {"model": "x", "size": "1", "bound": None, "calibration": None},
        "b": {"model": "x", "size": "2", "bound": None, "calibration": "val"},
    }
    monkeypatch.setattr(
        side_by_side,
        "_facts",
        lambda row: {("Artifact", k): v for k, v in made[row["key"]].items()},
    )
    table = side_by_side.facts_of([{"key": "a"}, {"key": "b"}])
    assert table.set_index("fact")["differs"].to_dict() == {
        "Artifact · model": False,
        "Artifact · size": True,
        "Artifact · calibration": True,
    }, "what neither of them has is left out"


def test_every_row_has_a_key_of_its_own() -> None:
    frame = pd.DataFrame(
        [
            point("int8", 79, 30, artifact_digest="a" * 64),
            point("int8", 78, 31, artifact_digest="b" * 64),
            point("fp32", 80, 10, artifact_digest="c" * 64),
        ]
    )
    keys = with_keys(frame)["key"].tolist()
    assert keys == ["timm/a int8 · aaaaaa", "timm/a int8 · bbbbbb", "timm/a fp32"]


def test_latency_shares_and_percentiles() -> None:
    values = np.arange(1.0, 101.0)
    series = [latency.Series("m", "fp32", values[::-1])]
    drawn = latency.latency_distribution(series, LIGHT).data[0]
    assert list(drawn.x) == list(values)
    assert drawn.y[49] == 50
    assert len(latency.downsample(np.arange(50_000))) == latency.MAX_SAMPLES
    assert "p99 2.0 × its median" in latency.takeaway(series)


SWEEP = pd.DataFrame(
    {
        "benchmark_id": [1, 2, 3],
        "model_id": "timm/a",
        "precision": ["fp32", "fp32", "int8"],
        "batch": [1, 8, 8],
        "instances": 1,
        "threads": 2,
        "samples": 300,
        "images_per_s": [10.0, 50.0, 40.0],
        "images_per_s_low": [9.0, 49.0, 39.0],
        "images_per_s_high": [11.0, 51.0, 41.0],
        "latency_p50_ms": [100.0, 160.0, 120.0],
        "latency_p90_ms": [101.0, 170.0, 125.0],
        "latency_p99_ms": [110.0, 190.0, None],
        "stable": True,
        "scenario": "closed loop",
        "verdict": None,
        "valid": None,
        "noise": [None, "other processes used 0.60 cores", None],
    }
)


def test_over_the_batch_the_star_keeps_the_latency_limit() -> None:
    figure = batches.batch_scaling(find_best_operating_point(SWEEP, Percentile.P50, 130.0), LIGHT)
    star = next(t for t in figure.data if t.marker.symbol == "star")
    assert list(star.y) == [40.0]
    assert not any("yaxis" in str(t.yaxis) and t.yaxis == "y3" for t in figure.data)
    line = next(t for t in figure.data if t.name == "fp32" and t.showlegend)
    assert line.marker.symbol == ("circle", "circle-open"), "the unreliable one is hollow"


def test_a_sweep_shows_pareto_front_limit_star_and_unreliable_points() -> None:
    spot = find_best_operating_point(SWEEP, Percentile.P90, 130.0)
    figure = latency_against_throughput(spot, LIGHT)
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces["Pareto front"].x) == [101.0, 125.0, 170.0]
    assert list(traces["best operating point"].y) == [40.0]
    assert traces["fp32"].marker.symbol == ("circle", "circle-open")
    assert traces["int8"].marker.symbol == ("diamond",)
    assert traces["unreliable"].marker.symbol == "circle-open"
    assert "0.60 cores" in traces["fp32"].customdata[1]
    assert figure.layout.shapes[0].x0 == 130.0
    assert "p90" in figure.layout.xaxis.title.text
    quiet = latency_against_throughput(find_best_operating_point(SWEEP.assign(noise=None)), LIGHT)
    assert "unreliable" not in {trace.name for trace in quiet.data}


def test_dumbbells_hold_the_classes_that_lost_most() -> None:
    classes = pd.DataFrame(
        {
            "label": range(20),
            "images": 50,
            "first": 90.0,
            "second": [90.0 - n for n in range(20)],
            "change": [-float(n) for n in range(20)],
            "lost": range(20),
            "gained": 0,
            "name": [f"c{n}" for n in range(20)],
        }
    )
    worst = worst_classes(classes)
    assert worst["label"].tolist() == list(range(19, 4, -1))
    figure = class_changes(worst, "fp32", "int8", LIGHT)
    assert figure.data[1].y[-1] == "c19 (50)"
    assert (figure.data[1].x[-1], figure.data[2].x[-1]) == (90.0, 71.0)


def test_parallel_axes_flip_costs_and_tell_true_values() -> None:
    frame = pd.DataFrame(
        [
            point("fp32", 80, 10, size_mb=100.0, peak_rss_mb=300.0),
            point("int8", 79, 30, size_mb=25.0, peak_rss_mb=300.0),
        ]
    )
    figure = parallel_coordinates(frame, LIGHT)
    assert abs(figure.data[0].labelangle) >= 20  # on a phone the axes are 40 pixels apart
    axes = {a.label: a for a in figure.data[0].dimensions}
    size = axes["size (MB) ↓"]
    assert size["values"][1] > size["values"][0]
    assert set(size["ticktext"]) <= {"20", "50", "100"}
    assert "peak memory (MB) ↓" not in axes  # equal for both: nothing to tell apart


def test_the_camera_saves_the_chosen_format(url: str) -> None:
    rows.add_measured_model(url)
    app = opened()
    for form in ("PNG", "SVG"):
        app.button_group(key="chart_format").set_value(form).run()
        for chart in app.get("plotly_chart"):
            config = json.loads(chart.proto.config)
            assert config["toImageButtonOptions"]["format"] == form.lower()

"""Not comparable: other images are another group; results with other preprocessing are marked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.charts.accuracy import accuracy_against_throughput
from dashboard.charts.accuracy_marks import NOT_COMPARABLE
from dashboard.palette import LIGHT
from db.models import Evaluation
from db.session import writing
from engine.config import settings
from engine.preprocess.protocols import VENDOR
from engine.results import result_tables
from engine.results.groups import accuracy_groups, newest_builds
from tests.support import rows
from tests.support.pages import figures, opened, texts

VENDORS = VENDOR.summary()


def change(url: str, evaluation: int, **values: object) -> None:
    with writing(url) as session:
        for name, value in values.items():
            setattr(session.get_one(Evaluation, evaluation), name, value)
    st.cache_data.clear()  # results are never changed outside of tests
    st.cache_resource.clear()


def test_what_was_prepared_otherwise_is_marked_and_not_on_the_pareto_front(url: str) -> None:
    rows.add_measured_model(url, right={"fp32": 700, "int8": 650})
    rows.add_measured_model(url, "legacy_senet154", right={"fp32": 900}, dataset="other")
    best = result_tables(url).evaluations.sort_values("top1").iloc[-1]["evaluation_id"]
    digest = result_tables(url).evaluations.sort_values("top1").iloc[0]["dataset_digest"]
    for evaluation in result_tables(url).evaluations["evaluation_id"]:
        change(url, int(evaluation), protocol={"preprocessing": "published"})
    change(url, int(best), dataset_name="val", dataset_digest=digest)
    app = opened()
    assert "on the Pareto front nor recommended" not in texts(app)
    assert "legacy" in app.success[0].value, "the most accurate is the recommended one"
    change(url, int(best), preprocess=VENDOR.to_dict(), protocol={"preprocessing": "vendor"})
    app = opened()
    assert "on the Pareto front nor recommended" in texts(app)
    assert "legacy" not in app.success[0].value, "and is no candidate"
    drawn = [trace for figure in figures(app) for trace in figure["data"]]
    marked = [t for t in drawn if NOT_COMPARABLE in (t.get("text") or [])]
    assert marked
    for trace in marked:
        card = trace["customdata"][trace["text"].index(NOT_COMPARABLE)][0]
        told = card.replace("<br>", " ")
        assert "not compared" in told
        assert VENDORS in told


def test_subsets_of_one_size_are_two_groups(url: str) -> None:
    rows.add_measured_model(url)
    assert len(accuracy_groups(result_tables(url).evaluations)) == 1
    first = int(result_tables(url).evaluations["evaluation_id"].iloc[0])
    change(url, first, images_digest="a" * 64)
    groups = accuracy_groups(result_tables(url).evaluations)
    assert len({group.label for group in groups}) == 2
    assert sorted(group.values["images_digest"] for group in groups)[-1] == "a" * 64


def points_one_not_comparable() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": ["a", "b", "c"],
            "precision": "fp32",
            "weights_digest": "w",
            "preprocess": ["own", "own", "other"],
            "top1": [70.0, 75.0, 90.0],
            "top1_low": [69.0, 74.0, 89.0],
            "top1_high": [71.0, 76.0, 91.0],
            "images_per_s": [20.0, 10.0, 30.0],
            "images_per_s_low": [19.0, 9.0, 29.0],
            "images_per_s_high": [21.0, 11.0, 31.0],
            "at_chance": False,
            "stable": True,
            "noise": None,
            "verdict": None,
            "valid": None,
            "batch": 1,
            "threads": 1,
            "images": 1000,
            "dataset": "val",
            "latency_p50_ms": 1.0,
            "compute_gmacs": 1.0,
            "size_mb": 1.0,
            "not_comparable": [None, None, "prepared with other"],
        }
    )


def test_a_marked_point_is_never_on_the_pareto_front() -> None:
    figure = accuracy_against_throughput(points_one_not_comparable(), LIGHT, "val", "batch 1")
    (line,) = [trace for trace in figure.data if trace.name == "Pareto front"]
    assert 90.0 not in list(line.y)
    assert sorted(line.y) == [70.0, 75.0]


def test_no_arrow_leads_to_or_from_a_marked_point() -> None:
    points = points_one_not_comparable().assign(
        label="a", precision=["fp32", "int8", "int8"], preprocess="own"
    )
    figure = accuracy_against_throughput(points, LIGHT, "val", "batch 1")
    (arrows,) = [trace for trace in figure.data if trace.name == "fp32 → lower precision"]
    assert list(arrows.y) == [70.0, 75.0, None]


def test_a_newer_build_that_is_not_comparable_does_not_hide_one_that_is() -> None:
    frame = pd.DataFrame(
        {
            "artifact_digest": ["old", "new", "new", "other"],
            "precision": ["int8", "int8", "int8", "fp32"],
            "not_comparable": [None, "prepared with x", "prepared with y", "prepared with x"],
            "measured_at": [1, 2, 3, 4],
        }
    ).assign(model_id="a", weights_digest="w", origin="here")
    assert newest_builds(frame)["artifact_digest"].tolist() == ["old", "other"]
    together = newest_builds(frame.assign(not_comparable=None))
    assert together["artifact_digest"].tolist() == ["new", "new", "other"]


def test_the_first_pair_is_one_that_was_evaluated(url: str) -> None:
    rows.add_measured_model(url, right={"fp32": 700, "int8": 650})
    assert opened().button_group(key="pair").value == "int8 vs fp32"
    rows.add_measured_model(url, "other")
    assert opened().button_group(key="pair").value == "int8 vs fp16"


def test_two_runtimes_are_compared_image_by_image(url: str) -> None:
    rows.add_measured_model(url, right={"fp32": 800})
    with writing(url) as session:
        (own,) = session.query(Evaluation)
        values = {c.name: getattr(own, c.name) for c in Evaluation.__table__.columns}
        columns = dict(np.load(settings().home / own.per_image_path))
        columns["rank"][:3] = 7  # three images are lost, and one wrong image gets another class
        columns["top5"][:3] += 1
        columns["top5"][900, 0] += 2
        np.savez(settings().home / "results" / "openvino.npz", **columns)
        changed = {
            "id": None,
            "recipe": "x",
            "top1_count": 797,
            "protocol": {**own.protocol, "runtime": "openvino 2026.4.1"},
            "per_image_path": "results/openvino.npz",
        }
        session.add(Evaluation(**{**values, **changed}))
    app = opened(view="Accuracy loss", lost_pair="fp32: OpenVINO vs ONNX Runtime")
    assert not app.exception
    assert "Of 1,000 images, 3 became wrong" in texts(app)
    assert app.button_group(key="which_flips").options == [
        "Correct only in fp32 in ONNX Runtime (3)",
        "Correct only in fp32 in OpenVINO (0)",
        "Different classes, both incorrect (1)",
    ]
    listed = app.expander[-1].dataframe[0].value
    assert listed["file"].tolist() == [0, 1, 2, 900]  # without the folder, the numbers of the files


def test_lost_images_are_of_builds_that_may_be_compared(url: str) -> None:
    rows.add_measured_model(url, right={"fp32": 800, "int8": 790})
    with writing(url) as session:
        (old,) = session.query(Evaluation).filter_by(top1_count=790)
        values = {c.name: getattr(old, c.name) for c in Evaluation.__table__.columns}
        other = {**old.preprocess, "resize": 300}
        changed = {"id": None, "recipe": "x", "preprocess": other, "created_at": 2e9}
        session.add(Evaluation(**{**values, **changed}))
    text = texts(opened(view="Accuracy loss", lost_pair="int8 vs fp32"))
    assert "Of 1,000 images, 10 became wrong" in text

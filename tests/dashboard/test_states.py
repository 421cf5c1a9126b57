"""The states that are not the happy path: each is said in words, on the page where it matters."""

from __future__ import annotations

import pytest

from dashboard.components.results.table import _column
from db.enums import JobStatus
from db.models import Benchmark, Evaluation
from db.session import writing
from tests.support import rows
from tests.support.pages import missing, opened, texts


def test_an_interrupted_job_says_that_it_goes_on(url: str) -> None:
    rows.add_job(
        url, JobStatus.QUEUED, "Build a", message="The workbench stopped while this job ran."
    )
    assert "The workbench stopped while this job ran" in texts(opened("jobs")).replace("\\", "")


def test_a_part_of_a_dataset_is_called_one(url: str) -> None:
    rows.add_measured_model(url)
    with writing(url) as session:
        for row in session.query(Evaluation):
            row.images_in_dataset = 50_000
    notes = opened("results").dataframe[0].value["notes"]
    assert notes.str.contains("1,000 of 50,000 images").all()
    options = opened().selectbox(key="images").options
    assert options == ["val · 1,000 of 50,000 images"]


def test_an_unstable_and_disturbed_speed_is_called_unreliable(url: str) -> None:
    rows.add_measured_model(url)
    with writing(url) as session:
        for row in session.query(Benchmark):
            row.stable, row.other_busy_cores = False, 1.5
    notes = opened("results").dataframe[0].value["notes"]
    assert (notes.str.contains("unstable") & notes.str.contains("1.50 cores")).all()
    assert not missing(texts(opened()), "unreliable", "unstable")


def test_a_figure_that_was_not_measured_is_missing_and_says_why(url: str) -> None:
    rows.add_measured_model(url, weights_kind="random")
    frame = opened("results").dataframe[0].value
    assert frame["top1"].isna().all()
    assert "not evaluated" in _column("top1", frame)["help"]


def test_a_row_without_notes_has_a_dash_there(url: str) -> None:
    rows.add_measured_model(url, right={"fp32": 803})
    assert opened("results").dataframe[0].value["notes"].isna().all()


@pytest.mark.parametrize("name", ["top1", "images_per_s"])
def test_a_column_with_a_missing_figure_has_dashes_not_bars(url: str, name: str) -> None:
    rows.add_measured_model(url)
    frame = opened("results").dataframe[0].value
    assert _column(name, frame)["type_config"]["type"] == "progress"
    frame.loc[0, name] = None
    assert _column(name, frame)["type_config"]["type"] == "number"


@pytest.mark.parametrize(("view", "words"), [("Batch scaling", "Fewer than two batch sizes")])
def test_a_view_without_data_says_what_is_missing(url: str, view: str, words: str) -> None:
    rows.add_measured_model(url)
    assert words in texts(opened(view=view))


def test_two_preprocessings_are_not_held_against_each_other(url: str) -> None:
    rows.add_measured_model(url, right={"fp32": 800, "int8": 790})
    with writing(url) as session:
        row = session.query(Evaluation).filter_by(top1_count=790).one()
        row.preprocess = {**row.preprocess, "resize": 300}
    app = opened(view="Accuracy loss", lost_pair="int8 vs fp32")
    assert "have different preprocessing" in texts(app)


def test_images_that_are_gone_do_not_hide_the_numbers(url: str) -> None:
    rows.add_measured_model(url, right={"fp32": 800, "int8": 790})
    app = opened(view="Accuracy loss", lost_pair="int8 vs fp32")
    assert not app.error
    assert not missing(
        texts(app), "1,000 images", "10 became wrong", "0 became", "folder is not on"
    )

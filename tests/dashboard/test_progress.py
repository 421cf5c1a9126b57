"""Stages, running accuracy, places in the queue, and a run cloned with changes."""

from __future__ import annotations

import os
import time

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.charts.running_accuracy import RunningTop1, parse_running_top1, running_accuracy
from dashboard.components.jobs.progress import stepper
from dashboard.components.run_form import prefill
from dashboard.palette import DARK, LIGHT
from db.enums import JobStatus, Precision, WeightsKind
from db.models import Job, JobNeed, Run, RunJob
from db.session import reading, writing
from engine.config import settings
from engine.evaluation.job import _RunningAccuracy
from engine.jobs import dispatcher
from engine.jobs.host_lock import announce
from engine.jobs.locks import try_lock
from engine.jobs.results import PartialResult
from engine.preprocess import PreprocessSpec
from engine.preprocess.protocols import VENDOR
from engine.runs.request import DEMO, RunRequest
from engine.specs import CalibrationMode, WeightsSpec
from tests.support import rows
from tests.support.pages import at, missing, opened, plain_texts, texts


class Listening:
    """Keeps what a job reports."""

    def progress(
        self, done: int, total: int, unit: str, text: str | None, partial: PartialResult | None
    ) -> None:
        self.said = (done, partial)


def test_what_an_evaluation_says_is_understood() -> None:
    listening = Listening()
    _RunningAccuracy(listening, done_before=0, total=1000, labeled=True).report(200, 150)
    done, partial = listening.said
    found = parse_running_top1(done, partial.dump())
    assert (found.images, found.top1) == (200, 75.0)
    assert found.low < 75 < found.high
    assert parse_running_top1(5, None) is None
    assert parse_running_top1(None, partial.dump()) is None


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_the_band_follows_the_interval(palette: object) -> None:
    seen = [RunningTop1(100, 70.0, 60.0, 80.0), RunningTop1(200, 72.0, 66.0, 78.0)]
    band, line = running_accuracy(seen, 1000, palette).data
    assert list(band.x) == [100, 200, 200, 100]
    assert list(band.y) == [80, 78, 66, 60]
    assert list(line.y) == [70, 72]


def test_the_stepper_names_each_stage_once() -> None:
    text = stepper(
        [
            ("export", "succeeded"),
            ("build", "succeeded"),
            ("build", "running"),
            ("evaluate", "queued"),
        ]
    )
    parts = text.split(":gray[→]")
    assert "check_circle" in parts[0]
    assert "Export" in parts[0]
    assert "play_circle" in parts[1]
    assert "Build 1/2" in parts[1]
    assert "schedule" in parts[2]


def test_a_failed_job_marks_its_stage() -> None:
    assert "error" in stepper([("build", "failed"), ("build", "succeeded")])


def test_the_queue_tells_place_and_start(url: str) -> None:
    rows.add_job(url, JobStatus.SUCCEEDED, "old", started_at=0.0, ended_at=30.0)
    first = rows.add_job(
        url,
        JobStatus.RUNNING,
        "Build a",
        done=10,
        total=30,
        unit="images",
        rate=2.0,
        exclusive=True,
    )
    second = rows.add_job(url, JobStatus.QUEUED, "Build b", exclusive=True)
    with writing(url) as session:
        session.add(JobNeed(job_id=second, needs_id=first))
    said = texts(opened("jobs")).replace("\\", "")
    assert not missing(said, "position 1", "10 s", "Build a")


@pytest.mark.parametrize("page", ["jobs", "run"])
def test_what_waits_for_a_benchmark_says_for_which(url: str, page: str) -> None:
    rows.add_job(url, JobStatus.RUNNING, "Benchmark a", exclusive=True)
    rows.add_job(url, JobStatus.QUEUED, "Build b")
    said = plain_texts(opened(page, id="2"))
    assert "waits until" not in said, "it waits for a quiet machine, and gave up the lock"
    lock = try_lock(settings().host_lock)
    assert lock is not None
    announce(lock, "benchmark")
    said = plain_texts(opened(page, id="2"))
    os.close(lock)
    assert not missing(said, "position 1", "waits until Benchmark a ends")
    assert page == "run" or "Machine in use by a benchmark alone, since" in said


def test_what_runs_beside_the_running_job_waits_for_nothing(url: str) -> None:
    rows.add_job(url, JobStatus.RUNNING, "Build a")
    rows.add_job(url, JobStatus.QUEUED, "Build b")
    assert "waits until" not in texts(opened("jobs"))
    rows.add_job(url, JobStatus.QUEUED, "Benchmark c", exclusive=True)
    assert "waits until Build a ends" in plain_texts(opened("jobs"))


def test_what_waits_for_another_workbench_says_so(url: str) -> None:
    rows.add_job(url, JobStatus.QUEUED, "Build b")
    assert "another workbench" not in texts(opened("jobs"))
    lock = try_lock(settings().host_lock)
    assert lock is not None
    assert "Machine in use by a job of another workbench alone" in texts(opened("jobs"))
    os.close(lock)
    assert "another workbench" not in texts(opened("jobs"))


def test_the_page_of_a_run_keeps_a_dispatcher_running(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.add_job(url, JobStatus.QUEUED, "Build b")
    assert "Queued jobs do not run" in texts(opened("run", id="1"))
    monkeypatch.setattr(dispatcher, "ensure_dispatcher", lambda: True)
    assert "Queued jobs do not run" not in texts(opened("run", id="1"))


def test_a_queue_that_nothing_runs_says_so(url: str) -> None:
    rows.add_job(url, JobStatus.QUEUED, "Build b")
    assert "Queued jobs do not run" in texts(opened("jobs"))


def cloned(request: RunRequest) -> AppTest:
    """New run as the button of a run's page opens it."""
    app = at("new_run")
    app.session_state[prefill.REQUEST_KEY] = request.to_json()
    return app.run()


def test_the_page_of_a_run_offers_a_clone(url: str) -> None:
    rows.add_job(url, JobStatus.SUCCEEDED, "Build a", ended_at=1.0)
    app = opened("run", id="1")
    with writing(url) as session:
        session.get(Run, 1).request = DEMO.to_json()
    app.button(key="clone").click().run()
    assert "Prefilled from an earlier run" in texts(app)


@pytest.mark.parametrize(
    "request_",
    [
        DEMO.model_copy(
            update={"precisions": (Precision.FP32,), "batches": (1, 8), "threads": (2,)}
        ),
        RunRequest(
            model_id="ppcls/seresnet18",
            weights=WeightsSpec(kind=WeightsKind.RANDOM),
            tasks=("benchmark",),
            precisions=("fp32", "int8"),
            preprocess=VENDOR.to_dict(),
        ),
        RunRequest(
            model_id="timm/ese_vovnet19b_dw",
            weights=WeightsSpec(kind=WeightsKind.RANDOM),
            tasks=("benchmark",),
            precisions=("int8",),
            instances=(1, 2, 4),
            threads=(1, 2),
            again=True,
            limit=50,
            preprocess={**VENDOR.to_dict(), "crop": 192},
        ),
        RunRequest(
            model_id="ppcls/seresnet18",
            weights=WeightsSpec(kind=WeightsKind.RANDOM),
            tasks=("benchmark",),
            scenario="server",
            limit_ms=20.0,
            rate_per_s=30.0,
        ),
        RunRequest(
            model_id="ppcls/seresnet18",
            weights=WeightsSpec(kind=WeightsKind.RANDOM),
            tasks=("benchmark",),
            precisions=("int8",),
            calibration_mode="percentile",
            calibration_percentile=99.5,
            keep_in_float=(0, 4),
            softmax=True,
        ),
    ],
)
def test_a_clone_asks_for_the_same(url: str, request_: RunRequest) -> None:
    app = cloned(request_)
    assert not app.exception
    assert app.toggle("softmax").value is request_.softmax
    assert "Prefilled from an earlier run" in texts(app)
    assert not [w for w in app.warning if "Session State" in w.value]
    app.button(key="queue").click().run()
    with reading(url) as session:
        again = session.get(Run, 1)
        assert session.query(Job).count() > 0
    assert again is not None, texts(app)
    before = request_.to_json()
    left_out = ("calibration_dataset", "preprocess")
    same = {name: again.request[name] for name in before if name not in left_out}
    assert same == {name: before[name] for name in same}
    assert spec_of(again.request) == spec_of(before)


def spec_of(request: dict) -> PreprocessSpec | None:
    return PreprocessSpec.from_dict(request["preprocess"]) if request["preprocess"] else None


def test_a_run_says_how_its_builds_were_asked_for(url: str) -> None:
    rows.add_job(url, JobStatus.SUCCEEDED, "Build a", ended_at=1.0)
    asked = DEMO.model_copy(
        update={
            "calibration_mode": CalibrationMode.PERCENTILE,
            "calibration_percentile": 99.5,
            "keep_in_float": (0, 4),
            "softmax": True,
        }
    )
    with writing(url) as session:
        session.get(Run, 1).request = asked.to_json()
    (facts,) = (table.value for table in opened("run", id="1").table)
    told = facts.iloc[:, 0].to_dict()
    assert told["Calibration method"] == "percentile"
    assert told["Percentile"].replace("\\", "") == "99.5 %"
    assert told["Layers excluded from quantization"] == "0, 4"
    assert told["Append a softmax"] == "yes"


def test_a_run_is_one_row_and_cancel_says_what_falls_with_a_job(url: str) -> None:
    first = rows.add_job(url, JobStatus.RUNNING, "Export a")
    second = rows.add_job(url, JobStatus.QUEUED, "Build b")
    with writing(url) as session:
        session.add(JobNeed(job_id=second, needs_id=first))
        session.add(RunJob(run_id=1, job_id=second))
    app = opened("jobs")
    (row,) = [expander.label for expander in app.expander if "Run 1" in expander.label]
    assert "0 of 2 done" in row
    assert "1 job skipped with it" in plain_texts(app)
    assert app.button(key=f"cancel_{first}").label == "Cancel 2 jobs"
    assert app.button(key=f"cancel_{second}").label == "Cancel"
    assert "Kept for another run: Build b." in plain_texts(app)


def test_a_failure_is_dismissed_or_fixed_where_the_request_was_wrong(url: str) -> None:
    wrong = {"error_kind": "BuildFailed"}
    job = rows.add_job(
        url, JobStatus.FAILED, "Export a", ended_at=time.time(), error="No.", result=wrong
    )
    crash = rows.add_job(url, JobStatus.FAILED, "Build b", ended_at=time.time(), error="No.")
    with writing(url) as session:
        session.get(Run, 1).request = DEMO.to_json()
    app = opened("jobs")
    assert f"fix_open_{crash}" not in [button.key for button in app.button]
    fixed = app.button(key=f"fix_open_{job}").click().run()
    assert "precisions" in fixed.query_params["field"]
    assert "Prefilled from an earlier run" in texts(fixed)
    marked = texts(opened("new_run", field="precisions"))
    assert "The earlier run failed at **Precisions**" in marked
    assert marked.count("The earlier run failed here.") == 1
    app = opened("jobs")
    app.button(key=f"dismiss_open_{job}").click().run()
    assert [b.key for b in app.button if str(b.key).startswith("dismiss_open")] == [
        f"dismiss_open_{crash}"
    ]

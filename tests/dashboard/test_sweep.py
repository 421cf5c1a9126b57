"""A sweep on the pages: the sentence, the chart, the run's own page, scenarios separate from it."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from db.enums import JobKind, JobStatus
from db.models import Benchmark, Job, Run, RunJob
from db.session import reading, writing
from engine.results.columns import header_of
from engine.runs.request import RunRequest
from tests.support import rows
from tests.support.pages import missing, opened, texts

SERVER = {
    "name": "server",
    "asked_rate_per_s": None,
    "rate_per_s": 21.5,
    "limit_ms": 20.0,
    "seed": 0,
    "valid": False,
    "reason": "12 of 900 requests took longer than 20 ms, and 2 may",
    "tried": [],
}


def add_settings(url: str, **protocol: object) -> list[int]:
    """Of each build a second setting: batch 8, 2 in flight, 1 thread; three times as fast."""
    with writing(url) as session:
        first = session.query(Benchmark).all()
        more = []
        for row in first:
            values = {
                column.name: getattr(row, column.name)
                for column in Benchmark.__table__.columns
                if column.name not in ("id", "created_at")
            }
            values |= {"batch": 8, "instances": 2, "threads": 1}
            values |= {
                "images_per_s": 3 * row.images_per_s,
                "images_per_s_low": 2 * row.images_per_s,
            }
            values |= {"images_per_s_high": 4 * row.images_per_s}
            values |= {f"latency_{p}_ms": 5 * row.latency_p50_ms for p in ("p50", "p90")}
            values["protocol"] = {**row.protocol, **protocol}
            more.append(Benchmark(**values))
        session.add_all(more)
        session.flush()
        return [row.id for row in more]


def said_by(app: AppTest) -> str:
    """All that a page says, without the escapes of its markup."""
    return "\n".join([texts(app), *(box.value for box in app.success)]).replace("\\", "")


def sweep_chart(app: AppTest) -> dict[str, object]:
    return json.loads(app.get("plotly_chart")[-1].proto.spec)


def test_the_best_operating_point_is_named_and_drawn(url: str) -> None:
    rows.add_measured_model(url)
    add_settings(url)
    app = opened(view="Best operating point")
    said = said_by(app)
    assert not missing(said, "timm/seresnet50 int8", "batch 8", "concurrency 2", "1 thread")
    assert not missing(said, "90.0 images/s", "6 points")
    names = [trace["name"] for trace in sweep_chart(app)["data"]]
    assert {"Pareto front", "best operating point", "fp32", "int8"} <= set(names)
    assert app.dataframe[-1].value["front"].sum() >= 2


def test_the_limit_of_the_deployment_moves_it(url: str) -> None:
    rows.add_measured_model(url)
    add_settings(url)
    app = opened(view="Best operating point")
    app.number_input(key="detail_latency").set_value(50.0).run()
    said = said_by(app)
    assert not missing(said, "batch 1,", "concurrency 1", "2 threads", "30.0 images/s", "50 ms")
    app.number_input(key="most_latency").set_value(1.0).run()
    assert not missing(said_by(app), "6 points", "p90", "1 ms")


def test_one_setting_is_no_sweep_and_says_what_to_do(url: str) -> None:
    rows.add_measured_model(url, right={"fp32": 800})
    assert "1 configuration" in said_by(opened(view="Best operating point"))


def test_other_scenarios_are_a_setting_of_their_own(url: str) -> None:
    rows.add_measured_model(url)
    add_settings(url, scenario=SERVER)
    app = opened(view="Best operating point")
    assert "of 3 points" in said_by(app)
    usual, server = app.selectbox(key="setting").options
    assert "server" not in usual
    assert server.startswith("server, highest rate, p99 ≤ 20 ms, batch 8, 1 thread")
    notes = opened("results").dataframe[0].value["notes"]
    assert notes.str.contains("invalid: 12 of 900 requests").sum() == 3


def test_a_noisy_point_says_so_in_the_table(url: str) -> None:
    rows.add_measured_model(url)
    add_settings(url, noise=["the clock moved by 15 % (1,700 to 2,000 MHz)"])
    shown = opened(view="Best operating point").dataframe[-1].value
    assert shown["noise"].dropna().str.startswith("the clock moved").sum() == 3
    assert "the clock moved" in said_by(opened(view="Best operating point"))


@pytest.mark.parametrize("live", [True, False])
def test_a_runs_page_shows_its_sweep_and_how_far_it_is(url: str, live: bool) -> None:
    rows.add_measured_model(url)
    ids = [*range(1, 4), *add_settings(url)]
    request = RunRequest(model_id="timm/seresnet50", batches=(1, 8), instances=(1, 2))
    with writing(url) as session:
        run = Run(title="a sweep", request=request.to_json())
        session.add(run)
        session.flush()
        for place, benchmark in enumerate(ids):
            waits = live and place == 5
            job = Job(
                kind=JobKind.BENCHMARK, title=f"b{place}", key=f"b{place}", params={}, timeout_s=9,
                status=JobStatus.QUEUED if waits else JobStatus.SUCCEEDED, attempt=1,
                result=None if waits else {"benchmark": benchmark},
                started_at=None if waits else 1000.0, ended_at=None if waits else 1009.0,
            )  # fmt: skip
            session.add(job)
            session.flush()
            session.add(RunJob(run_id=run.id, job_id=job.id))
        run_id = run.id
    app = opened("run", id=str(run_id))
    assert not app.exception
    said = said_by(app)
    assert f"of {5 if live else 6} points" in said
    assert "p99 (ms)" in [header_of(name) for name in app.dataframe[-1].value]  # those of speed
    cancel = f"cancel_run_now_{run_id}"
    assert [b.label for b in app.button if b.key == cancel] == ["Cancel 1 job"] * live
    if live:
        assert not missing(str([p.text for p in app.get("progress")]), "5 of 6 jobs done")
        app.button(key=cancel).click().run()
        with reading(url) as session:
            states = [job.status for job in session.query(Job)]
        assert JobStatus.QUEUED not in states
        assert states.count(JobStatus.CANCELLED) == 1

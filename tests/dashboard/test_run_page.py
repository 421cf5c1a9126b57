"""A run's own page: many jobs are folded away, and what was only built or profiled is there."""

from __future__ import annotations

from typing import Any

import pytest

from db.enums import JobKind, JobStatus
from db.models import Artifact, Evaluation, Job, Run, RunJob
from db.session import reading, writing
from tests.support import rows
from tests.support.pages import opened, texts


def add_run(url: str, results: list[dict[str, Any]], kind: JobKind = JobKind.BUILD) -> str:
    """A run whose jobs all succeeded with these results; returns its number."""
    with writing(url) as session:
        run = Run(title="a run", request={"model_id": "timm/x", "precisions": ["fp32"]})
        session.add(run)
        session.flush()
        for place, result in enumerate(results):
            job = Job(
                kind=kind, title=f"job {place}", key=f"k{place}", params={}, timeout_s=9, attempt=1,
                status=JobStatus.SUCCEEDED, result=result, started_at=1000.0, ended_at=1009.0,
            )  # fmt: skip
            session.add(job)
            session.flush()
            session.add(RunJob(run_id=run.id, job_id=job.id))
        return str(run.id)


@pytest.mark.parametrize(("jobs", "folded"), [(8, 0), (9, 1)])
def test_many_jobs_that_succeeded_are_folded_away(url: str, jobs: int, folded: int) -> None:
    app = opened("run", id=add_run(url, [{}] * jobs))
    assert len([box for box in app.expander if box.label == f"{jobs} jobs done"]) == folded
    assert texts(app).count("job 0") == 1


@pytest.mark.parametrize("key", ["artifact", "profile"])
def test_what_was_only_built_or_profiled_is_shown(url: str, key: str) -> None:
    rows.add_measured_model(url, weights_kind="random", right={"fp32": 0})
    with reading(url) as session:
        (digest,) = [row.digest for row in session.query(Artifact)]
    app = opened("run", id=add_run(url, [{key: digest}]))
    (shown,) = app.dataframe[0].value["model_id"]
    assert shown == "timm/seresnet50"
    assert "Provenance of timm/seresnet50 fp32" in texts(app).replace("\\", "")


@pytest.mark.parametrize(
    ("measured", "column", "not_there"),
    [("evaluation", "top5", "latency_p50_ms"), ("benchmark", "latency_p90_ms", "top1")],
)
def test_columns_are_those_of_what_was_measured(
    url: str, measured: str, column: str, not_there: str
) -> None:
    rows.add_measured_model(url, right={"fp32": 700})
    with reading(url) as session:
        assert session.query(Evaluation).count() == 1
    shown = opened("run", id=add_run(url, [{measured: 1}])).dataframe[0].value
    assert column in shown
    assert not_there not in shown


def test_without_any_run_there_is_a_way_to_one(url: str) -> None:
    *_, link = opened("run").get("page_link")
    assert link.proto.label == "Queue a run"

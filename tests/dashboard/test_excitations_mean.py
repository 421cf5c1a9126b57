"""The page asks for the mean of a dataset once, watches the job, and says when it failed."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from dashboard import queries
from db.enums import JobKind, JobStatus
from db.models import Job
from db.session import reading, writing
from engine.config import settings
from engine.jobs import dispatcher
from engine.jobs.host_lock import announce
from engine.jobs.locks import try_lock
from tests.support import rows
from tests.support.pages import missing


@pytest.fixture
def app(url: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    rows.add_measured_model(url)
    monkeypatch.setattr(dispatcher, "ensure_dispatcher", lambda: True)

    def page() -> None:
        from dashboard import queries
        from dashboard.components.classify.excitations_mean import mean_excitations_job, show_job

        show_job(mean_excitations_job(queries.builds()[0], queries.datasets()[0]))

    return AppTest.from_function(page, default_timeout=30).run()


def jobs(url: str) -> list[Job]:
    with reading(url) as session:
        return list(session.scalars(select(Job)))


def change(url: str, **values: object) -> None:
    with writing(url) as session:
        job = session.scalars(select(Job)).one()
        for name, value in values.items():
            setattr(job, name, value)


def test_one_job_is_queued_however_often_it_is_asked_for(app: AppTest, url: str) -> None:
    app.button(key="excitations_mean").click().run()
    (job,) = jobs(url)
    assert job.kind == JobKind.EXCITATIONS
    assert job.params["dataset_digest"] == queries.datasets()[0].digest
    assert "excitations_mean" not in [button.key for button in app.button]
    assert [button.label for button in app.button] == ["Cancel"]
    assert "is queued" in app.get("progress")[0].proto.text


def test_a_queued_one_says_what_it_waits_for_and_that_nothing_runs_it(
    app: AppTest, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.add_job(url, JobStatus.RUNNING, "Benchmark a", exclusive=True)
    lock = try_lock(settings().host_lock)
    assert lock is not None
    announce(lock, "benchmark")
    app.button(key="excitations_mean").click().run()
    os.close(lock)
    text = app.get("progress")[0].proto.text
    assert not missing(text, "position 1", "waits until Benchmark a ends")
    assert not app.warning
    monkeypatch.setattr(dispatcher, "ensure_dispatcher", lambda: False)
    assert "Queued jobs do not run" in app.run().warning[0].value


def test_a_running_one_tells_how_far_it_is_and_is_cancelled(app: AppTest, url: str) -> None:
    app.button(key="excitations_mean").click().run()
    change(url, status=JobStatus.RUNNING, done=64, total=256, unit="images", rate=32.0)
    app.run()
    assert app.get("progress")[0].proto.text == r"64 of 256 images · 32\.0 images/s · 6 s left"
    change(url, status=JobStatus.QUEUED)
    app.run().button[0].click().run()
    assert jobs(url)[0].status == JobStatus.CANCELLED


def test_a_failed_one_says_why_and_can_be_asked_for_again(app: AppTest, url: str) -> None:
    app.button(key="excitations_mean").click().run()
    change(url, status=JobStatus.FAILED, error="The images are gone.", ended_at=1.0)
    app.run()
    assert app.warning[0].value == r"The images are gone\."
    app.button(key="excitations_mean").click().run()
    assert [job.status for job in jobs(url)] == [JobStatus.FAILED, JobStatus.QUEUED]

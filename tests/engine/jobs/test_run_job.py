"""One job under supervision: real child processes that end in every way there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.enums import JobStatus
from engine.config import settings
from engine.jobs import control
from tests.support.job_harness import alive, queue, row, run, run_beside, until

pytestmark = pytest.mark.integration


def test_a_job_succeeds_with_its_result_and_its_log(url: str) -> None:
    job = run(url, queue(url, "chatter"))
    assert job.status == JobStatus.SUCCEEDED
    assert "The first line." in str(job.log_tail)
    assert "plain output" in str(job.log_tail)
    assert job.ended_at is not None
    assert job.started_at is not None
    assert job.ended_at >= job.started_at


@pytest.mark.serial
def test_progress_is_recorded(url: str) -> None:
    job_id = queue(url, "sleep", params={"seconds": 3})
    thread = run_beside(url, job_id)
    until(lambda: (row(url, job_id).done or 0) > 5, "progress beyond the first ticks")
    job = row(url, job_id)
    assert (job.total, job.unit) == (30, "ticks")
    assert job.rate is not None
    assert 2 < job.rate < 12, "about ten ticks a second, less on a busy machine"
    thread.join()
    assert row(url, job_id).result == {"slept_s": 3}


def test_an_error_for_the_user_is_the_sentence_itself(url: str) -> None:
    job = run(url, queue(url, "refuse"))
    assert job.status == JobStatus.FAILED
    assert job.error == "The export does not compute what the model does."
    assert job.attempt == 1, "the same error would come again"


def test_an_unexpected_error_is_one_line_and_the_log_has_the_rest(url: str) -> None:
    job = run(url, queue(url, "fail"))
    assert job.status == JobStatus.FAILED
    assert "KeyError" in str(job.error)
    assert "\n" not in str(job.error)
    assert "Traceback" in str(job.log_tail)


@pytest.mark.parametrize("signal", ["SIGSEGV", "SIGKILL"])
def test_a_child_that_dies_is_tried_again(url: str, signal: str) -> None:
    job_id = queue(url, "crash", params={"signal": signal, "times": 1})
    assert run(url, job_id).status == JobStatus.QUEUED
    assert signal in str(row(url, job_id).message)
    job = run(url, job_id)
    assert job.status == JobStatus.SUCCEEDED
    assert job.result == {"attempt": 2}


def test_a_child_that_always_dies_fails_with_the_signal(url: str) -> None:
    job_id = queue(url, "crash", params={"signal": "SIGSEGV"}, max_attempts=2)
    run(url, job_id)
    job = run(url, job_id)
    assert job.status == JobStatus.FAILED
    assert "SIGSEGV" in str(job.error)


def test_running_out_of_memory_ends_only_the_job(url: str) -> None:
    job = run(url, queue(url, "hog"))
    assert job.status == JobStatus.FAILED
    assert str(job.error).startswith("Out of memory")


def test_a_child_without_a_word_fails(url: str) -> None:
    job = run(url, queue(url, "vanish"))
    assert job.status == JobStatus.FAILED
    assert "without a result" in str(job.error)


@pytest.mark.parametrize("kind", ["sleep", "hold_interpreter"])
def test_cancel_kills_the_child_even_in_native_code(url: str, kind: str) -> None:
    job_id = queue(url, kind, params={"seconds": 60})
    thread = run_beside(url, job_id)
    until(lambda: row(url, job_id).log_tail is not None, "the first renewal")
    pid = row(url, job_id).pid
    assert pid is not None
    control.cancel(url, job_id)
    thread.join(timeout=30)
    assert row(url, job_id).status == JobStatus.CANCELLED
    assert not alive(pid)


def test_cancel_kills_what_the_child_started_and_leaves_nothing_half_written(
    url: str, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    job_id = queue(url, "parent", params={"file": str(note)})
    thread = run_beside(url, job_id)
    until(lambda: note.exists() and note.read_text(), "the grandchild")
    grandchild = int(note.read_text())
    assert alive(grandchild)
    control.cancel(url, job_id)
    thread.join(timeout=30)
    until(lambda: not alive(grandchild), "the end of the grandchild")
    assert list((settings().home / "tmp").iterdir()) == []


def test_the_time_limit_ends_a_call_that_holds_the_interpreter(url: str) -> None:
    job = run(url, queue(url, "hold_interpreter", timeout_s=1.5))
    assert job.status == JobStatus.FAILED
    assert "time limit of 2 s" in str(job.error) or "time limit of 1 s" in str(job.error)


def test_a_job_that_lost_its_row_kills_its_child(url: str) -> None:
    from sqlalchemy import update

    from db.models import Job
    from db.session import writing

    job_id = queue(url, "sleep", params={"seconds": 60})
    thread = run_beside(url, job_id)
    until(lambda: row(url, job_id).log_tail is not None, "the first renewal")
    pid = row(url, job_id).pid
    with writing(url) as session:
        session.execute(update(Job).where(Job.id == job_id).values(attempt=9))
    thread.join(timeout=30)
    assert pid is not None
    assert not alive(pid)
    assert row(url, job_id).status == JobStatus.RUNNING, "the row belongs to attempt 9 now"


def test_a_job_cancelled_while_it_waits_for_the_machine_never_starts(url: str) -> None:
    from engine.jobs.locks import try_lock

    lock = try_lock(settings().host_lock)
    assert lock is not None
    job_id = queue(url, "sleep", params={"seconds": 1}, exclusive=True)
    thread = run_beside(url, job_id)
    control.cancel(url, job_id)
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert row(url, job_id).attempt == 0

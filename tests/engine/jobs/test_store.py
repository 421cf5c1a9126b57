"""The rows and their rules, without any process."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from db.enums import JobStatus
from db.models import Job
from db.session import writing
from engine.errors import InvalidRequest, JobLost
from engine.jobs import control
from engine.jobs import queue as store
from engine.jobs.context import JobContext
from tests.support.job_harness import queue, row

pytestmark = pytest.mark.databases


def claim(url: str, job_id: int, lease_s: float = 30) -> int | None:
    return store.claim(url, job_id, host="here", pid=1, lease_s=lease_s)


def end(url: str, job_id: int, status: JobStatus) -> None:
    attempt = claim(url, job_id)
    assert attempt is not None
    assert store.end(url, job_id, attempt, status)


def test_an_equal_job_that_is_live_is_not_queued_twice(url: str) -> None:
    first = queue(url, "sleep", params={"seconds": 1})
    assert queue(url, "sleep", params={"seconds": 1}) == first
    assert queue(url, "sleep", params={"seconds": 2}) != first
    claim(url, first)
    assert queue(url, "sleep", params={"seconds": 1}) == first


def test_an_equal_job_that_has_ended_is_queued_anew(url: str) -> None:
    first = queue(url, "sleep", params={"seconds": 1})
    end(url, first, JobStatus.SUCCEEDED)
    assert queue(url, "sleep", params={"seconds": 1}) != first


def test_only_one_claim_succeeds(url: str) -> None:
    job = queue(url, "sleep")
    assert claim(url, job) == 1
    assert claim(url, job) is None


def test_a_job_waits_for_its_needs(url: str) -> None:
    first = queue(url, "sleep", params={"n": 1})
    second = queue(url, "sleep", needs=(first,), params={"n": 2})
    assert [job.id for job in store.ready(url)] == [first]
    end(url, first, JobStatus.SUCCEEDED)
    assert [job.id for job in store.ready(url)] == [second]


def test_higher_priority_goes_first(url: str) -> None:
    low = queue(url, "sleep", params={"n": 1})
    high = queue(url, "sleep", params={"n": 2}, priority=5)
    assert [job.id for job in store.ready(url)] == [high, low]


@pytest.mark.parametrize("outcome", [JobStatus.FAILED, JobStatus.CANCELLED])
def test_what_needs_a_failed_job_is_skipped_transitively(url: str, outcome: JobStatus) -> None:
    first = queue(url, "sleep", params={"n": 1})
    second = queue(url, "sleep", needs=(first,), params={"n": 2})
    third = queue(url, "sleep", needs=(second,), params={"n": 3})
    end(url, first, outcome)
    store.sweep(url)
    assert row(url, second).status == row(url, third).status == JobStatus.SKIPPED
    assert "did not succeed" in str(row(url, third).error)


def test_a_stale_attempt_cannot_write(url: str) -> None:
    job = queue(url, "sleep")
    first = claim(url, job)
    assert first is not None
    store.requeue(url, job, first, "It died.")
    second = claim(url, job)
    assert second == 2
    assert not store.end(url, job, first, JobStatus.SUCCEEDED)
    assert not store.progress(url, job, first, done=5)
    assert store.renew(url, job, first, lease_s=9, log_tail="") is None
    assert row(url, job).status == JobStatus.RUNNING


def test_a_stale_attempt_is_told_that_it_lost(url: str, tmp_path: object) -> None:
    job = queue(url, "sleep")
    claim(url, job)
    context = JobContext(url, job, attempt=7, workspace=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(JobLost):
        context.progress(1, 1, "images")


def test_a_lease_that_ran_out_requeues_the_job(url: str) -> None:
    job = queue(url, "sleep")
    claim(url, job, lease_s=-1)
    store.sweep(url)
    assert row(url, job).status == JobStatus.QUEUED
    assert claim(url, job) == 2


def test_a_lease_that_holds_is_left_alone(url: str) -> None:
    job = queue(url, "sleep")
    claim(url, job)
    store.sweep(url)
    assert row(url, job).status == JobStatus.RUNNING


def test_no_attempt_left_means_failed(url: str) -> None:
    job = queue(url, "sleep", max_attempts=1)
    claim(url, job, lease_s=-1)
    store.sweep(url)
    assert row(url, job).status == JobStatus.FAILED
    assert row(url, job).ended_at is not None
    assert "No attempt is left" in str(row(url, job).error)


def test_a_lost_job_that_was_being_cancelled_is_cancelled(url: str) -> None:
    job = queue(url, "sleep")
    claim(url, job, lease_s=-1)
    control.cancel(url, job)
    store.sweep(url)
    assert row(url, job).status == JobStatus.CANCELLED


def test_recover_requeues_the_jobs_of_this_home_only(url: str) -> None:
    """Hosts may have the same name, and one host several homes."""
    here, there, old = (queue(url, "sleep", params={"n": n}) for n in range(3))
    store.claim(url, here, home="a home", host="box", pid=1, lease_s=30)
    store.claim(url, there, home="another", host="box", pid=1, lease_s=30)
    store.claim(url, old, host="box", pid=1, lease_s=30)
    assert store.recover(url, "a home") == 2
    assert row(url, here).status == JobStatus.QUEUED
    assert row(url, there).status == JobStatus.RUNNING
    assert row(url, old).status == JobStatus.QUEUED, "claimed before homes had an identity"


def test_cancelling_a_queued_job_ends_it_at_once(url: str) -> None:
    job = queue(url, "sleep")
    assert control.cancel(url, job) == JobStatus.CANCELLED
    assert claim(url, job) is None
    assert row(url, job).ended_at is not None


def test_retry_queues_the_job_its_needs_and_what_was_skipped(url: str) -> None:
    first = queue(url, "sleep", params={"n": 1})
    second = queue(url, "sleep", needs=(first,), params={"n": 2})
    third = queue(url, "sleep", needs=(second,), params={"n": 3})
    end(url, first, JobStatus.FAILED)
    store.sweep(url)
    assert control.retry(url, second) == [first, second, third]
    assert claim(url, first) == 2, "the attempt is the fence and must never be used twice"


def test_retry_leaves_what_succeeded(url: str) -> None:
    first = queue(url, "sleep", params={"n": 1})
    second = queue(url, "sleep", needs=(first,), params={"n": 2})
    end(url, first, JobStatus.SUCCEEDED)
    end(url, second, JobStatus.FAILED)
    assert control.retry(url, second) == [second]
    assert row(url, first).status == JobStatus.SUCCEEDED


def test_retry_refuses_a_job_with_a_live_equal(url: str) -> None:
    job = queue(url, "sleep")
    end(url, job, JobStatus.FAILED)
    again = queue(url, "sleep")
    assert again != job
    with pytest.raises(InvalidRequest, match="equal job"):
        control.retry(url, job)
    assert row(url, job).status == JobStatus.FAILED


@pytest.mark.parametrize("action", [control.cancel, control.retry])
def test_an_unknown_job_is_named(url: str, action: object) -> None:
    with pytest.raises(InvalidRequest, match="no job 99"):
        action(url, 99)  # type: ignore[operator]


def test_retry_refuses_a_live_job(url: str) -> None:
    job = queue(url, "sleep")
    with pytest.raises(InvalidRequest, match="queued"):
        control.retry(url, job)


def test_times_are_the_clock_of_the_database(url: str) -> None:
    job = queue(url, "sleep")
    with writing(url) as session:
        session.execute(update(Job).where(Job.id == job).values(created_at=0.0))
    claim(url, job)
    started = row(url, job).started_at
    assert started is not None
    assert abs(started - __import__("time").time()) < 5


def test_an_optional_need_must_have_ended_only(url: str) -> None:
    first, second = (queue(url, "sleep", params={"n": n}) for n in (1, 2))
    last = queue(url, "sleep", needs=(first, second), needs_all=False, params={"n": 3})
    end(url, first, JobStatus.FAILED)
    store.sweep(url)
    assert [job.id for job in store.ready(url)] == [second]
    end(url, second, JobStatus.SUCCEEDED)
    store.sweep(url)
    assert [job.id for job in store.ready(url)] == [last]


def test_without_any_optional_need_a_job_is_skipped(url: str) -> None:
    needs = tuple(queue(url, "sleep", params={"n": n}) for n in (1, 2))
    last = queue(url, "sleep", needs=needs, needs_all=False, params={"n": 3})
    end(url, needs[0], JobStatus.FAILED)
    end(url, needs[1], JobStatus.CANCELLED)
    assert store.ready(url) == [], "also before the next sweep"
    store.sweep(url)
    assert row(url, last).status == JobStatus.SKIPPED


def test_retry_of_a_need_repeats_what_left_it_out(url: str) -> None:
    first, second = (queue(url, "sleep", params={"n": n}) for n in (1, 2))
    last = queue(url, "sleep", needs=(first, second), needs_all=False, params={"n": 3})
    end(url, first, JobStatus.SUCCEEDED)
    end(url, second, JobStatus.FAILED)
    end(url, last, JobStatus.SUCCEEDED)
    assert control.retry(url, second) == [second, last]
    assert row(url, first).status == JobStatus.SUCCEEDED
    assert [job.id for job in store.ready(url)] == [second]


def test_what_falls_with_a_job_is_told_as_the_sweep_does_it(url: str) -> None:
    first, other = queue(url, "sleep", params={"n": 1}), queue(url, "sleep", params={"n": 2})
    needy = queue(url, "sleep", needs=(first,), params={"n": 3})
    either = queue(url, "sleep", needs=(needy, other), needs_all=False, params={"n": 4})
    last = queue(url, "sleep", needs=(either,), params={"n": 5})
    needs = control.needs_of_live(url)
    assert control.skipped_with([first], needs) == {needy}
    assert control.skipped_with([first, other], needs) == {needy, either, last}
    control.cancel(url, first)
    control.cancel(url, other)
    store.sweep(url)
    skipped = {job for job in (needy, either, last) if row(url, job).status == JobStatus.SKIPPED}
    assert skipped == {needy, either, last}


def test_a_dismissed_failure_can_still_be_retried(url: str) -> None:
    job, live = queue(url, "sleep", params={"n": 1}), queue(url, "sleep", params={"n": 2})
    end(url, job, JobStatus.FAILED)
    control.dismiss(url, [job, live])
    assert row(url, job).cancel
    assert not row(url, live).cancel, "only what failed"
    control.retry(url, job)
    assert not row(url, job).cancel

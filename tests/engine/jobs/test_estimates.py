"""Expected starts, on queues whose schedule can be drawn by hand."""

from __future__ import annotations

from db.enums import JobStatus
from engine.jobs.estimates import LiveJob, expected_starts, median_duration_s
from tests.support import rows


def test_two_slots_are_filled_in_order() -> None:
    queue = [LiveJob(n, 10.0) for n in range(1, 5)]
    assert expected_starts(queue, 2) == {1: 0, 2: 0, 3: 10, 4: 10}


def test_a_running_job_holds_its_slot() -> None:
    queue = [LiveJob(1, 4.0, running=True), LiveJob(2, 10.0)]
    assert expected_starts(queue, 1) == {2: 4}


def test_an_exclusive_job_runs_alone() -> None:
    queue = [LiveJob(1, 5.0), LiveJob(2, 8.0), LiveJob(3, 3.0, exclusive=True), LiveJob(4, 1.0)]
    assert expected_starts(queue, 2) == {1: 0, 2: 0, 3: 8, 4: 5}, "the last one passes the third"


def test_needs_are_waited_for() -> None:
    queue = [LiveJob(1, 7.0), LiveJob(2, 5.0, needs=(1,)), LiveJob(3, 2.0, needs=(2,))]
    assert expected_starts(queue, 2) == {1: 0, 2: 7, 3: 12}


def test_after_an_unknown_duration_nothing_is_promised() -> None:
    queue = [LiveJob(1, None), LiveJob(2, 5.0)]
    assert expected_starts(queue, 1) == {1: 0, 2: None}
    assert expected_starts([LiveJob(1, None, running=True), LiveJob(2, 5.0)], 2) == {2: None}


def test_usual_is_the_median_of_what_succeeded(url: str) -> None:
    for number, seconds in enumerate((1.0, 3.0, 50.0)):
        rows.add_job(
            url, JobStatus.SUCCEEDED, f"b{number}", started_at=100.0, ended_at=100.0 + seconds
        )
    rows.add_job(url, JobStatus.FAILED, "f", started_at=0.0, ended_at=999.0)
    assert median_duration_s(url, ["build", "export"]) == {"build": 3.0}


def test_what_was_there_already_says_nothing_of_how_long_it_takes(url: str) -> None:
    for number in range(5):
        rows.add_job(
            url, JobStatus.SUCCEEDED, f"r{number}", started_at=0.0, ended_at=0.2,
            result={"reused": True},
        )  # fmt: skip
    assert median_duration_s(url, ["build"]) == {"build": 0.2}, "nothing else is known"
    rows.add_job(url, JobStatus.SUCCEEDED, "b", started_at=100.0, ended_at=140.0, result={})
    assert median_duration_s(url, ["build"]) == {"build": 40.0}

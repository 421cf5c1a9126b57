"""The dispatcher as a real process: order, exclusiveness, and what survives kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from db.enums import JobStatus
from engine.config import REPOSITORY, settings
from engine.jobs import control
from engine.jobs.dispatcher import _Loop, dispatch, ensure_dispatcher, is_running
from tests.support.job_harness import WORKER, alive, dispatcher, queue, row, until

pytestmark = pytest.mark.integration


def status(url: str, job_id: int) -> str:
    return row(url, job_id).status


def intervals(file: Path) -> dict[str, tuple[float, float]]:
    lines = [line.split() for line in file.read_text().splitlines()]
    return {name: (float(begun), float(ended)) for name, begun, ended in lines}


def overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def test_jobs_run_in_the_order_of_their_needs(url: str, tmp_path: Path) -> None:
    file = tmp_path / "stamps"
    stamps = [{"file": str(file), "name": name, "seconds": 0.1} for name in "ab"]
    first = queue(url, "stamp", params=stamps[0])
    second = queue(url, "stamp", needs=(first,), params=stamps[1])
    with dispatcher():
        until(lambda: status(url, second) == JobStatus.SUCCEEDED, "the second job")
    assert intervals(file)["a"][1] < intervals(file)["b"][0]


@pytest.mark.serial
def test_a_benchmark_runs_alone_and_other_jobs_side_by_side(url: str, tmp_path: Path) -> None:
    file = tmp_path / "stamps"
    jobs = [
        queue(
            url,
            "stamp",
            params={"file": str(file), "name": name, "seconds": 1.5},
            exclusive=name.startswith("bench"),
        )
        for name in ("one", "two", "bench1", "bench2", "three")
    ]
    with dispatcher(SENET_SLOTS="2"):
        until(lambda: all(status(url, j) == JobStatus.SUCCEEDED for j in jobs), "all five")
    spans = intervals(file)
    assert overlap(spans["one"], spans["two"]), "two ordinary jobs share the machine"
    for bench in ("bench1", "bench2"):
        others = [span for name, span in spans.items() if name != bench]
        assert not any(overlap(spans[bench], other) for other in others)


def test_benchmarks_of_two_homes_on_one_host_never_overlap(url: str, tmp_path: Path) -> None:
    from engine.store.database import prepare_database

    file = tmp_path / "stamps"
    params = {"file": str(file), "name": "here", "seconds": 1.0}
    here = queue(url, "stamp", params=params, exclusive=True)
    other_home = tmp_path / "other"
    os.environ["SENET_HOME"] = str(other_home)
    settings.cache_clear()
    other_url = prepare_database()
    there = queue(other_url, "stamp", params={**params, "name": "there"}, exclusive=True)
    with (
        dispatcher(),
        dispatcher(SENET_HOME=str(tmp_path / "home")),
    ):
        until(lambda: status(url, here) == JobStatus.SUCCEEDED, "the benchmark here")
        until(lambda: status(other_url, there) == JobStatus.SUCCEEDED, "the benchmark there")
    assert not overlap(*intervals(file).values())


def test_a_second_dispatcher_leaves_at_once(url: str) -> None:
    queue(url, "sleep", params={"seconds": 30})
    with dispatcher():
        until(is_running, "the first dispatcher")
        with dispatcher() as second:
            assert second.wait(timeout=30) == 0
        assert is_running()


def test_it_leaves_when_nothing_is_live(url: str) -> None:
    with dispatcher(SENET_IDLE_S="0.5") as process:
        assert process.wait(timeout=30) == 0


def test_a_job_queued_while_it_leaves_is_run(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page was told that a dispatcher runs, and starts no other one."""
    monkeypatch.setenv("SENET_IDLE_S", "0.3")
    settings.cache_clear()
    is_over, jobs = _Loop.is_over, []

    def over_with_a_job_at_the_last_moment(loop: _Loop) -> bool:
        if is_over(loop) and not jobs:
            jobs.append(queue(url, "sleep", params={"seconds": 0.5}))
            assert ensure_dispatcher()
            return True
        return is_over(loop)

    monkeypatch.setattr(_Loop, "is_over", over_with_a_job_at_the_last_moment)
    dispatch(WORKER)
    assert status(url, jobs[0]) == JobStatus.SUCCEEDED
    assert row(url, jobs[0]).attempt == 1, "it did not leave the job that it had started"
    assert not is_running()


def test_a_child_killed_by_the_system_is_run_again(url: str) -> None:
    job = queue(url, "sleep", params={"seconds": 2})
    with dispatcher():
        until(lambda: row(url, job).log_tail is not None, "the first renewal")
        pid = row(url, job).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: status(url, job) == JobStatus.SUCCEEDED, "the second attempt")
    assert row(url, job).attempt == 2


def test_after_kill_of_the_dispatcher_no_orphan_lives_and_the_job_runs_again(url: str) -> None:
    job = queue(url, "sleep", params={"seconds": 2})
    with dispatcher() as first:
        until(lambda: row(url, job).log_tail is not None, "the first renewal")
        child = row(url, job).pid
        assert child is not None
        first.send_signal(signal.SIGKILL)
        first.wait()
    until(lambda: not alive(child), "the death of the orphan")
    with dispatcher():
        until(lambda: status(url, job) == JobStatus.SUCCEEDED, "the next attempt")
    assert row(url, job).attempt == 2


def test_after_kill_of_the_dashboard_its_jobs_go_on(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()

    job = queue(url, "prepare_dataset", params={"name": "none", "root": str(folder)})
    code = (
        "import time; from engine.jobs.dispatcher import ensure_dispatcher; "
        "ensure_dispatcher(); time.sleep(600)"
    )
    page = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=os.environ.copy())
    until(is_running, "the dispatcher that the page started")
    page.send_signal(signal.SIGKILL)
    page.wait()
    until(lambda: status(url, job) == JobStatus.FAILED, "the end of the job")
    assert "contains no images" in str(row(url, job).error), "it ran, and found the folder empty"


def test_ensure_starts_nothing_when_nothing_is_queued(url: str) -> None:
    assert not ensure_dispatcher()
    assert not is_running()


def test_cancel_through_the_dispatcher(url: str) -> None:
    job = queue(url, "sleep", params={"seconds": 60})
    after = queue(url, "sleep", needs=(job,), params={"seconds": 61})
    with dispatcher():
        until(lambda: row(url, job).log_tail is not None, "the first renewal")
        control.cancel(url, job)
        until(lambda: status(url, after) == JobStatus.SKIPPED, "the skip of what needs it")
    assert status(url, job) == JobStatus.CANCELLED

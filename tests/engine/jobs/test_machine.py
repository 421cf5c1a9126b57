"""Who gets the machine: what passes a waiting benchmark, the note of its holder, idle jobs."""

from __future__ import annotations

import os
import time

import pytest

from engine.config import settings
from engine.jobs import host_lock, queue
from engine.jobs.executor import GRACE_S, PASS_S, LocalExecutor, _Running
from engine.jobs.host_lock import Holder, announce, holder, release, take_alone
from engine.jobs.locks import SHARED_MODE, is_locked, try_lock
from tests.support.job_harness import queue as add

pytestmark = pytest.mark.integration


class Recorded(LocalExecutor):
    """Starts no threads; `running` shows what it would have started."""

    def _start(self, job_id: int, *, exclusive: bool) -> _Running:
        self.running[job_id] = job = _Running(exclusive)
        return job

    def after(self, seconds: float) -> list[int]:
        """What runs after the next look, `seconds` after each start so far."""
        begun = time.monotonic() - seconds
        self.running = {
            number: _Running(job.exclusive, started_at=begun)
            for number, job in self.running.items()
        }
        self.start_ready()
        return sorted(self.running)


def executor(url: str) -> Recorded:
    return Recorded(url, 2, "none")


def test_what_is_not_exclusive_passes_a_benchmark_that_waits_but_not_for_ever(url: str) -> None:
    first, bench, second, third = (
        add(url, "sleep", params={"n": n}, exclusive=n == 1) for n in range(4)
    )
    runs = executor(url)
    runs._start(first, exclusive=False)
    assert runs.after(0) == [first, bench], "the benchmark has the first try"
    assert runs.after(GRACE_S + 1) == [first, bench, second], "two slots"
    runs.running.pop(second)
    assert third not in runs.after(PASS_S + 1), "now they wait for the benchmark"


def test_nothing_starts_beside_a_holder_and_one_benchmark_waits(url: str) -> None:
    bench, other, plain = (add(url, "sleep", params={"n": n}, exclusive=n < 2) for n in range(3))
    lock = try_lock(settings().host_lock, mode=SHARED_MODE)
    assert lock is not None
    runs = executor(url)
    assert runs.after(0) == [bench]
    assert runs.after(GRACE_S + 1) == [bench]
    os.close(lock)
    assert runs.after(GRACE_S + 1) == [bench, plain]
    assert other not in runs.running


def test_an_idle_job_starts_only_when_no_other_is_live(url: str) -> None:
    idle = add(url, "sleep", priority=queue.WHEN_IDLE, exclusive=True)
    assert [(job.id, job.exclusive) for job in queue.ready(url)] == [(idle, True)]
    assert not queue.has_pressing(url)
    other = add(url, "sleep", params={"n": 1}, needs=(add(url, "sleep", params={"n": 2}),))
    assert idle not in [job.id for job in queue.ready(url)]
    assert queue.has_pressing(url)
    assert other


def test_the_lock_says_who_holds_it_and_can_be_given_up(url: str) -> None:
    path = settings().host_lock
    lock = try_lock(path, mode=SHARED_MODE)
    assert lock is not None
    announce(lock, "benchmark")
    found = holder(path)
    assert isinstance(found, Holder)
    assert (found.kind, round(found.since)) == ("benchmark", pytest.approx(time.time(), abs=60))
    release(lock)
    assert not is_locked(path, shared=True)
    other = try_lock(path, mode=SHARED_MODE)
    assert other is not None
    assert not take_alone(lock, "peak"), "another one has it"
    os.close(other)
    assert take_alone(lock, "peak")
    assert is_locked(path, shared=True)
    os.close(lock)


@pytest.mark.parametrize("note", ["", "nonsense", "[]", '{"kind": "x", "since": 1, "pid": -5}'])
def test_a_note_that_says_nothing_is_no_holder(url: str, note: str) -> None:
    settings().host_lock.write_text(note)
    assert holder(settings().host_lock) is None


def test_the_process_of_a_job_knows_its_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert host_lock.inherited() is None
    monkeypatch.setenv(host_lock.DESCRIPTOR, "17")
    assert host_lock.inherited() == 17

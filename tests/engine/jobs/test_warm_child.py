"""A real child process: its answers, its limits, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from engine.config import REPOSITORY
from engine.errors import ChildFailed, ImageRejected
from engine.jobs import warm_child
from engine.jobs.messages import Message, pack_arrays, unpack_arrays
from engine.jobs.warm_child import WarmChild

TABLE = "tests.support.warm_tasks_for_tests:HANDLERS"
PATIENT_S = 120.0


@pytest.fixture
def child() -> Iterator[WarmChild]:
    found = WarmChild(TABLE, "tests")
    yield found
    kill(found)


def kill(child: WarmChild) -> None:
    if child.pid is not None:
        os.kill(child.pid, signal.SIGKILL)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def echo(child: WarmChild, value: int = 1) -> dict[str, int]:
    return child.ask("echo", PATIENT_S, {"value": value}).facts


@contextmanager
def held(child: WarmChild, folder: Path) -> Iterator[Future[Message]]:
    """Within the block the child is at work, on a request whose answer is yielded."""
    begun, until = folder / "begun", folder / "until"
    facts: dict[str, object] = {"begun": str(begun), "until": str(until)}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(child.ask, "hold", PATIENT_S, facts)
        wait_until(begun.exists)
        try:
            yield answer
        finally:
            until.touch()


def test_it_starts_with_the_first_request_and_is_the_same_for_the_next(child: WarmChild) -> None:
    assert child.pid is None
    first, second = echo(child), echo(child)
    assert first["pid"] == second["pid"] == child.pid != os.getpid()


def test_blocks_arrive_byte_for_byte_and_arrays_with_their_type(child: WarmChild) -> None:
    image = os.urandom(3_000_000)
    answer = child.ask("echo", PATIENT_S, {"value": "ü"}, image, b"")
    assert answer.blocks == (image, b"")
    assert answer.facts["value"] == "ü"
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((0, 2), np.uint8)]
    for given, found in zip(
        arrays,
        unpack_arrays(child.ask("doubled", PATIENT_S, {}, *pack_arrays(arrays)).blocks),
        strict=True,
    ):
        assert found.dtype == given.dtype
        assert np.array_equal(found, 2 * given)


def test_pickled_arrays_are_neither_sent_nor_read() -> None:
    objects = np.array([{}], dtype=object)
    with pytest.raises(ValueError, match="allow_pickle"):
        pack_arrays([objects])


def test_an_error_of_the_work_keeps_its_class_and_the_child(child: WarmChild) -> None:
    pid = echo(child)["pid"]
    with pytest.raises(ImageRejected, match="is empty"):
        child.ask("refuse", PATIENT_S, {})
    with pytest.raises(ChildFailed, match="Unexpected ValueError: no such thing"):
        child.ask("fail", PATIENT_S, {})
    assert echo(child)["pid"] == pid


def test_threads_get_their_own_answers(child: WarmChild) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda value: echo(child, value), range(64)))
    assert [one["value"] for one in found] == list(range(64))
    assert len({one["pid"] for one in found}) == 1


@pytest.mark.parametrize("by", ["SIGKILL", "SIGSEGV"])
def test_a_child_that_dies_is_told_and_replaced(child: WarmChild, by: str) -> None:
    pid = echo(child)["pid"]
    with pytest.raises(ChildFailed, match=f"for tests was killed by {by}.*try again"):
        child.ask("die", PATIENT_S, {"by": by})
    assert echo(child)["pid"] != pid


def test_a_child_killed_by_others_in_the_middle_is_told_and_replaced(
    child: WarmChild, tmp_path: Path
) -> None:
    pid = echo(child)["pid"]
    with held(child, tmp_path) as answer:
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ChildFailed, match="SIGKILL"):
            answer.result()
    assert echo(child)["pid"] != pid


def test_a_child_that_died_between_two_requests_is_replaced(child: WarmChild) -> None:
    pid = echo(child)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: child.pid is None)
    assert echo(child)["pid"] != pid


def test_a_child_that_leaves_names_its_log(child: WarmChild, home: Path) -> None:
    with pytest.raises(ChildFailed, match=r"exited with code 3 without .*: see .*tests\.log"):
        child.ask("leave", PATIENT_S, {})
    with pytest.raises(ChildFailed, match=r"exited with code 1"):
        WarmChild("tests.engine.jobs.nowhere:HANDLERS", "nowhere").ask("echo", PATIENT_S, {})
    assert "ModuleNotFoundError" in (home / "logs" / "nowhere.log").read_text()


def test_work_that_never_ends_is_stopped_at_its_limit(child: WarmChild) -> None:
    pid = echo(child)["pid"]
    with pytest.raises(ChildFailed, match=r"No answer within 0\.3 s"):
        child.ask("never", 0.3, {})
    assert not psutil.pid_exists(pid)
    assert echo(child)["pid"] != pid


def test_a_child_that_does_not_even_read_is_stopped_at_its_limit(child: WarmChild) -> None:
    pid = echo(child)["pid"]
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ChildFailed, match=r"No answer within 0\.3 s"):
        child.ask("echo", 0.3, {"value": 1}, bytes(20_000_000))
    assert echo(child)["pid"] != pid


def test_memory_is_bounded() -> None:
    child = WarmChild(TABLE, "tests", memory_bytes=400_000_000)
    try:
        with pytest.raises(ChildFailed, match=r"over the limit of 0\.4 GB"):
            child.ask("swell", PATIENT_S, {})
        assert echo(child)["value"] == 1
    finally:
        kill(child)


def test_an_idle_child_ends_and_the_next_request_starts_another() -> None:
    child = WarmChild(TABLE, "tests", idle_s=0.1)
    pid = echo(child)["pid"]
    wait_until(lambda: not psutil.pid_exists(pid))
    assert echo(child)["pid"] != pid


def test_who_waits_too_long_for_others_is_told(
    child: WarmChild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(child, tmp_path) as answer, monkeypatch.context() as patch:
        patch.setattr(warm_child, "QUEUE_TIMEOUT_S", 0.2)
        with pytest.raises(ChildFailed, match="Earlier requests took over"):
            echo(child, 2)
    assert answer.result().facts == {"held": True}  # begun: it was not given up
    assert echo(child, 3)["value"] == 3


def test_who_is_interrupted_leaves_no_work_behind(
    child: WarmChild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    assert child.ask("count", PATIENT_S, {}).facts == {"calls": 1}
    with held(child, tmp_path), monkeypatch.context() as patch:
        patch.setattr(warm_child.Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            child.ask("count", PATIENT_S, {})
    assert child.ask("count", PATIENT_S, {}).facts == {"calls": 2}


def test_other_settings_need_another_child(
    child: WarmChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = echo(child)["pid"]
    monkeypatch.setenv("SENET_THREADS", "1")
    assert echo(child)["pid"] != pid


def test_a_child_ends_with_its_parent() -> None:
    code = (
        "from engine.jobs.warm_child import WarmChild\n"
        f"child = WarmChild({TABLE!r}, 'tests')\n"
        "print(child.ask('echo', 120, {'value': 1}).facts['pid'], flush=True)\n"
        "child.ask('never', 120, {})"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not psutil.pid_exists(pid))

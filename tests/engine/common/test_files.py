"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from engine.common.files import atomic_write, write_text
from engine.errors import StorageFull


def break_off(path: Path, error: Exception) -> None:
    with atomic_write(path) as part:
        part.write_text("half")
        raise error


def test_a_file_that_cannot_be_finished_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "before")
    with pytest.raises(RuntimeError):
        break_off(path, RuntimeError())
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageFull, match="disk is full"):
        break_off(tmp_path / "a", OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, long = tmp_path / "a.txt", "x" * 2_000_000
    write_text(path, long)
    seen: set[int] = set()
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            seen.add(len(path.read_text()))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        write_text(path, long)
    ended.set()
    reader.join()
    assert seen == {len(long)}

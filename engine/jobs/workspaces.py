"""The folders that attempts of jobs work in, and what killed attempts left behind."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from sqlalchemy import select

from db.enums import JobStatus
from db.models import Job
from db.session import reading
from engine.config import settings
from engine.specs.datasets import BUILTIN_DATASETS

_ATTEMPT = re.compile(r"(?:job|gone)-(\d+)\.(\d+)")
_DRAWN = tuple(f".{name}-" for name in BUILTIN_DATASETS)
_PART = re.compile(r".+\.(\d+)\.part")
STALE_S = 600.0


def workspace_of(job_id: int, attempt: int) -> Path:
    """The folder of one attempt, on the file system that its artifacts are renamed within."""
    return settings().folder("tmp") / f"job-{job_id}.{attempt}"


def abandoned(url: str) -> list[Path]:
    """Folders of attempts that do not run any more, and what their processes left half-written.

    An attempt is recorded before it has a folder: one that is seen here and is not recorded as
    running is over.
    """
    home = settings().home
    folders = [path for path in _entries(home / "tmp") if _ATTEMPT.fullmatch(path.name)]
    # The built-in sets are drawn beside the place that they get when they are whole.
    drawn = [path for path in _entries(home / "datasets") if path.name.startswith(_DRAWN)]
    parts = [*(home / "datasets").glob("*.part"), *(home / "results").rglob("*.part")]
    running = select(Job.id, Job.attempt).where(Job.status == JobStatus.RUNNING)
    with reading(url) as session:
        live = {tuple(row) for row in session.execute(running)}
    over = [path for path in folders if _attempt_of(path) not in live]
    return over + ([] if live else drawn) + [path for path in parts if _is_left(path)]


def remove(paths: list[Path]) -> None:
    """Removes what is abandoned; each at once, so that no orphan goes on writing into it."""
    for path in paths:
        if not path.is_dir():
            path.unlink(missing_ok=True)
            continue
        gone = path.with_name(path.name.replace("job-", "gone-", 1))
        try:
            path.rename(gone)
        except OSError:
            continue
        shutil.rmtree(gone, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _attempt_of(folder: Path) -> tuple[int, ...]:
    found = _ATTEMPT.fullmatch(folder.name)
    assert found is not None
    return tuple(map(int, found.groups()))


def _is_left(part: Path) -> bool:
    """Whether the process that began a file is gone; one of minutes ago may be in a container."""
    found = _PART.fullmatch(part.name)
    try:
        old = time.time() - part.stat().st_mtime > STALE_S
    except OSError:
        return False
    return found is not None and old and not _runs(int(found.group(1)))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

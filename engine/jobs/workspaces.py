"""Working folders of job attempts, and cleanup of what killed attempts left."""

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
    """The working folder of an attempt, on the same file system as the artifacts."""
    return settings().folder("tmp") / f"job-{job_id}.{attempt}"


def abandoned(url: str) -> list[Path]:
    """Folders of attempts that have ended, and partly written files of ended processes.

    An attempt is recorded before its folder exists, so a folder without a running attempt is
    abandoned.
    """
    home = settings().home
    folders = [path for path in _entries(home / "tmp") if _ATTEMPT.fullmatch(path.name)]
    # Built-in datasets are generated in a temporary sibling folder and then renamed.
    drawn = [path for path in _entries(home / "datasets") if path.name.startswith(_DRAWN)]
    parts = [*(home / "datasets").glob("*.part"), *(home / "results").rglob("*.part")]
    running = select(Job.id, Job.attempt).where(Job.status == JobStatus.RUNNING)
    with reading(url) as session:
        live = {tuple(row) for row in session.execute(running)}
    over = [path for path in folders if _attempt_of(path) not in live]
    return over + ([] if live else drawn) + [path for path in parts if _is_orphaned_part(path)]


def remove(paths: list[Path]) -> None:
    """Removes abandoned paths; folders are renamed first, so that no orphan writes into them."""
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
    match = _ATTEMPT.fullmatch(folder.name)
    assert match is not None
    return tuple(map(int, match.groups()))


def _is_orphaned_part(part: Path) -> bool:
    """Whether the process that began a partial file has ended.

    Files younger than STALE_S are kept: their process may run in another container.
    """
    match = _PART.fullmatch(part.name)
    try:
        old = time.time() - part.stat().st_mtime > STALE_S
    except OSError:
        return False
    return match is not None and old and not _runs(int(match.group(1)))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

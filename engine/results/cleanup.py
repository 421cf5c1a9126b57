"""What the artifact store holds, what rests on it, and the removal of what nothing rests on."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, delete, func, select
from sqlalchemy.orm import Session

from db.base import Base
from db.enums import LIVE
from db.models import Artifact, Job
from db.session import reading, writing
from engine.config import settings
from engine.errors import InvalidRequest
from engine.profiling.records import profile_folder as profiles_folder

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Stored:
    """One artifact: its bytes on disk now, and by what it is used (`3 benchmarks`).

    `used_by` is empty where nothing rests on it: only then may it be removed. A folder that no
    row knows has no model.
    """

    digest: str
    model_id: str | None
    precision: str | None
    kind: str | None
    created_at: float | None
    bytes_on_disk: int
    used_by: tuple[str, ...]

    @property
    def removable(self) -> bool:
        """Whether `clean` would remove it."""
        return not self.used_by


def stored(url: str) -> list[Stored]:
    """Every artifact that is recorded or lies in the store, the largest first."""
    with reading(url) as session:
        return _stored(session)


def clean(url: str) -> list[Stored]:
    """Removes every artifact that nothing rests on, with its profiles; returns what was removed.

    Rows go first, in one transaction with the check; a folder left behind by a crash is found the
    next time. Raises InvalidRequest while jobs are queued or running: they may need any artifact.
    """
    with writing(url) as session:
        live = session.scalar(select(func.count()).select_from(Job).where(Job.status.in_(LIVE)))
        if live:
            raise InvalidRequest(
                f"{live} jobs are queued or running and may need any artifact; clean up when they "
                f"have ended."
            )
        gone = [one for one in _stored(session) if one.removable]
        digests = [one.digest for one in gone]
        session.execute(delete(Artifact).where(Artifact.digest.in_(digests)))
    for one in gone:
        shutil.rmtree(_folder() / one.digest, ignore_errors=True)
        shutil.rmtree(profiles_folder(one.digest), ignore_errors=True)
    return gone


def _stored(session: Session) -> list[Stored]:
    rows = {row.digest: row for row in session.scalars(select(Artifact))}
    used = _used_by(session, rows)
    found = [
        Stored(
            digest=row.digest,
            model_id=row.model_id,
            precision=row.precision,
            kind=row.kind,
            created_at=row.created_at,
            bytes_on_disk=bytes_under(_folder() / row.digest),
            used_by=used.get(row.digest, ()),
        )
        for row in rows.values()
    ]
    found += [
        Stored(path.name, None, None, None, None, bytes_under(path), ())
        for path in _strays(set(rows))
    ]
    return sorted(found, key=lambda one: -one.bytes_on_disk)


def _used_by(session: Session, rows: dict[str, Artifact]) -> dict[str, tuple[str, ...]]:
    """For each artifact what rests on it, directly or through what was built from it."""
    uses: dict[str, list[str]] = {}
    for column in _references():
        counts = Counter(session.scalars(select(column).where(column.is_not(None))))
        for digest, count in counts.items():
            plural = "s" if count > 1 else ""
            uses.setdefault(digest, []).append(f"{count} {column.table.name}{plural}")
    for digest in list(uses):
        parent = rows[digest].parent_digest if digest in rows else None
        while parent is not None and parent in rows:
            known = uses.setdefault(parent, [])
            text = "a build that is used"
            if text not in known:
                known.append(text)
            parent = rows[parent].parent_digest
    return {digest: tuple(texts) for digest, texts in uses.items()}


def _references() -> list[Column[str]]:
    """Every column of any table that names an artifact, but the artifact's own parent."""
    own = Artifact.__table__
    return [
        key.parent
        for table in Base.metadata.tables.values()
        if table is not own
        for key in table.foreign_keys
        if key.column.table is own
    ]


def _strays(known: set[str]) -> list[Path]:
    """Folders of the store that no row knows; none where the database may be one of several."""
    if settings().database_url or not _folder().is_dir():
        return []
    folders = [path for path in _folder().iterdir() if path.is_dir() and not path.is_symlink()]
    return [path for path in folders if _DIGEST.fullmatch(path.name) and path.name not in known]


def _folder() -> Path:
    return settings().home / "artifacts"


def bytes_under(folder: Path) -> int:
    """Bytes of all files in a folder, or of one file; files may come and go meanwhile."""
    files = folder.rglob("*") if folder.is_dir() else [folder]
    return sum(_bytes_of(path) for path in files)


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0

"""The content of the artifact store, what references it, and the removal of unused artifacts."""

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
from engine.store.shared import remove
from engine.text import plural

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """One artifact, its size on disk now, and what references it (`3 benchmarks`).

    It may be removed only if `used_by` is empty. A folder of the store without a database row has
    no model.
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
        """Whether `remove_unused_artifacts` removes it."""
        return not self.used_by


def stored_artifacts(url: str) -> list[StoredArtifact]:
    """All artifacts of the database and all folders of the store, the largest first."""
    with reading(url) as session:
        return _list(session)


def remove_unused_artifacts(url: str) -> list[StoredArtifact]:
    """Deletes all artifacts without a reference, with their profiles; returns the deleted ones.

    Rows are deleted first, in one transaction with the check; a folder that a crash leaves behind
    is deleted by the next call. Raises InvalidRequest while jobs are queued or running, because
    they may need any artifact.
    """
    with writing(url) as session:
        live = session.scalar(select(func.count()).select_from(Job).where(Job.status.in_(LIVE)))
        if live:
            raise InvalidRequest(
                f"{plural(live, 'queued or running job')} may need any artifact: clean up after "
                f"they have finished, or cancel them."
            )
        removed = [artifact for artifact in _list(session) if artifact.removable]
        digests = [artifact.digest for artifact in removed]
        session.execute(delete(Artifact).where(Artifact.digest.in_(digests)))
    for artifact in removed:
        shutil.rmtree(_store_folder() / artifact.digest, ignore_errors=True)
        shutil.rmtree(profiles_folder(artifact.digest), ignore_errors=True)
        remove(f"artifacts/{artifact.digest}")
    return removed


def _list(session: Session) -> list[StoredArtifact]:
    rows = {row.digest: row for row in session.scalars(select(Artifact))}
    used_by = _used_by(session, rows)
    artifacts = [
        StoredArtifact(
            digest=row.digest,
            model_id=row.model_id,
            precision=row.precision,
            kind=row.kind,
            created_at=row.created_at,
            bytes_on_disk=disk_usage_bytes(_store_folder() / row.digest),
            used_by=used_by.get(row.digest, ()),
        )
        for row in rows.values()
    ]
    artifacts += [
        StoredArtifact(path.name, None, None, None, None, disk_usage_bytes(path), ())
        for path in _folders_without_row(set(rows))
    ]
    return sorted(artifacts, key=lambda artifact: -artifact.bytes_on_disk)


def _used_by(session: Session, rows: dict[str, Artifact]) -> dict[str, tuple[str, ...]]:
    """References to each artifact, direct ones and those of builds that were built from it."""
    uses: dict[str, list[str]] = {}
    for column in _references():
        counts = Counter(session.scalars(select(column).where(column.is_not(None))))
        for digest, count in counts.items():
            plural = "s" if count > 1 else ""
            uses.setdefault(digest, []).append(f"{count} {column.table.name}{plural}")
    for digest in list(uses):
        parent = rows[digest].parent_digest if digest in rows else None
        while parent is not None and parent in rows:
            parent_uses = uses.setdefault(parent, [])
            text = "a build in use"
            if text not in parent_uses:
                parent_uses.append(text)
            parent = rows[parent].parent_digest
    return {digest: tuple(texts) for digest, texts in uses.items()}


def _references() -> list[Column[str]]:
    """All foreign keys to an artifact, except the one of an artifact to its parent."""
    artifact_table = Artifact.__table__
    return [
        key.parent
        for table in Base.metadata.tables.values()
        if table is not artifact_table
        for key in table.foreign_keys
        if key.column.table is artifact_table
    ]


def _folders_without_row(digests: set[str]) -> list[Path]:
    """Folders of the store without a database row; none if databases may share the store."""
    if settings().database_url or not _store_folder().is_dir():
        return []
    folders = [
        path for path in _store_folder().iterdir() if path.is_dir() and not path.is_symlink()
    ]
    return [path for path in folders if _DIGEST.fullmatch(path.name) and path.name not in digests]


def _store_folder() -> Path:
    return settings().home / "artifacts"


def disk_usage_bytes(folder: Path) -> int:
    """Total size (bytes) of a folder's files, or of one file; files may disappear meanwhile."""
    files = folder.rglob("*") if folder.is_dir() else [folder]
    return sum(_file_size_bytes(path) for path in files)


def _file_size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0

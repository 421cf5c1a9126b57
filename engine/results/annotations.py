"""What a user says about a build (tag, note, hidden), and the deletion of a build."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from db.clock import utc_epoch
from db.enums import LIVE
from db.models import Annotation, Artifact, Benchmark, Evaluation, ImportedBuild, Job
from db.session import reading, writing
from engine.config import settings
from engine.errors import InvalidRequest
from engine.profiling.records import profile_folder
from engine.store.shared import remove
from engine.text import plural

MAX_TAG, MAX_NOTE = 60, 2000


def annotation_of(digest: str, url: str) -> Annotation:
    """The annotation of a build; an empty one if it has none."""
    with reading(url) as session:
        found = session.get(Annotation, digest)
    return found or Annotation(digest=digest, tag=None, note=None, hidden=False)


def annotate(digest: str, url: str, *, tag: str | None, note: str | None, hidden: bool) -> None:
    """Writes the annotation of a build; without anything to say, it is removed.

    Raises InvalidRequest for a tag or a note that is too long.
    """
    tag, note = (" ".join((tag or "").split()) or None), ((note or "").strip() or None)
    for name, text, most in (("tag", tag, MAX_TAG), ("note", note, MAX_NOTE)):
        if text and len(text) > most:
            raise InvalidRequest(
                f"The {name} has {len(text):,} characters: at most {most:,} are stored."
            )
    with writing(url) as session:
        if not (tag or note or hidden):
            session.execute(delete(Annotation).where(Annotation.digest == digest))
            return
        row = Annotation(digest=digest, tag=tag, note=note, hidden=hidden)
        session.merge(row).changed_at = utc_epoch()


@dataclass(frozen=True, slots=True)
class Dependents:
    """What is deleted with a build: builds made from it, and the measurements of all of them."""

    builds: int
    evaluations: int
    benchmarks: int

    def text(self) -> str:
        """`2 benchmarks and 1 evaluation`, with the builds made from it."""
        parts = [plural(self.benchmarks, "benchmark"), plural(self.evaluations, "evaluation")]
        if self.builds:
            parts.insert(0, f"{plural(self.builds, 'build')} made from it")
        return f"{', '.join(parts[:-1])} and {parts[-1]}"


def dependents_of(digest: str, url: str) -> Dependents:
    """What depends on a build."""
    with reading(url) as session:
        digests = _with_children(session, digest)
        evaluations, benchmarks = (
            session.scalar(select(func.count()).select_from(table).where(_of(table, digests))) or 0
            for table in (Evaluation, Benchmark)
        )
    return Dependents(len(digests) - 1, evaluations, benchmarks)


def delete_build(digest: str, url: str) -> Dependents:
    """Deletes a build (made here or imported) with what depends on it, and their files.

    Rows go first, in one transaction. Raises InvalidRequest while jobs are queued or running,
    because they may need it.
    """
    deleted = dependents_of(digest, url)
    with writing(url) as session:
        live = session.scalar(select(func.count()).select_from(Job).where(Job.status.in_(LIVE)))
        if live:
            raise InvalidRequest(
                f"{plural(live, 'queued or running job')} may need this build: delete it after "
                "they have finished, or cancel them."
            )
        digests = _with_children(session, digest)
        files = _files(session, digests)
        for table in (Evaluation, Benchmark):
            session.execute(delete(table).where(_of(table, digests)))
        session.execute(delete(Annotation).where(Annotation.digest.in_(digests)))
        for one in reversed(digests):  # children before the artifact that they were made from
            session.execute(delete(Artifact).where(Artifact.digest == one))
        session.execute(delete(ImportedBuild).where(ImportedBuild.digest.in_(digests)))
    for path in files:
        path.unlink(missing_ok=True)
        remove(path.relative_to(settings().home).as_posix())
    for one in digests:
        shutil.rmtree(settings().home / "artifacts" / one, ignore_errors=True)
        shutil.rmtree(profile_folder(one), ignore_errors=True)
        remove(f"artifacts/{one}")
    return deleted


def _with_children(session: Session, digest: str) -> list[str]:
    """The build and all artifacts that were made from it, parents first."""
    found = [digest]
    for one in found:
        found += session.scalars(select(Artifact.digest).where(Artifact.parent_digest == one))
    return found


def _of(table: type[Evaluation | Benchmark], digests: Collection[str]) -> ColumnElement[bool]:
    """Whether a measurement is of one of the builds; never NULL, so that it can be negated."""
    return func.coalesce(table.artifact_digest, table.imported_digest).in_(digests)


def _files(session: Session, digests: Collection[str]) -> list[Path]:
    """Files of the measurements that no other row uses."""
    found: list[Path] = []
    for table, column in (
        (Evaluation, Evaluation.per_image_path),
        (Benchmark, Benchmark.latencies_path),
    ):
        own = set(session.scalars(select(column).where(_of(table, digests))))
        kept = set(session.scalars(select(column).where(~_of(table, digests))))
        found += [settings().home / name for name in own - kept if name]
    return found

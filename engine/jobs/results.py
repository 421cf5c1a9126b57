"""The results of jobs: the `result` column of their rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field
from sqlalchemy import select

from db.enums import JobStatus
from db.models import Benchmark, Job
from db.session import reading
from engine.common.document import Document
from engine.errors import InvalidRequest


class JobResult(Document):
    """The result of a job; `reused`: it existed already.

    `artifact` (digest), `evaluation` and `benchmarks` (ids): what the job made, `benchmark` the
    first of these; `profile`: digest of the profiled build, at `batch` and `threads`; `notes`:
    sentences for the user; `corrupt_files`: (file, reason); `error_kind`: class of the error of a
    failed job.
    """

    artifact: str | None = None
    evaluation: int | None = None
    benchmark: int | None = None
    benchmarks: list[int] = Field(default_factory=list)
    profile: str | None = None
    dataset: str | None = None
    digest: str | None = None
    reused: bool = False
    notes: list[str] = Field(default_factory=list)
    corrupt_files: list[tuple[str, str]] = Field(default_factory=list)
    peak_rss_mb: int | None = None
    top1: float | None = None
    images_per_s: float | None = None
    stable: bool | None = None
    batch: int | None = None
    threads: int | list[int] | None = None
    error_kind: str | None = None

    @classmethod
    def from_stored(cls, stored: dict[str, Any] | None) -> JobResult:
        """From the row of a job; an empty result where the job returned nothing."""
        return cls.read(stored, "The result of this job", InvalidRequest)

    @property
    def benchmark_ids(self) -> list[int]:
        """The ids of all benchmarks; jobs of earlier versions made one."""
        return self.benchmarks or ([] if self.benchmark is None else [self.benchmark])


def benchmarks_of(jobs: Iterable[Job], url: str) -> set[int]:
    """Ids of the benchmarks of these jobs, with those that a failed job had measured before."""
    jobs = list(jobs)
    found = {number for job in jobs for number in JobResult.from_stored(job.result).benchmark_ids}
    failed = [job.id for job in jobs if job.status == JobStatus.FAILED]
    if failed:
        with reading(url) as session:
            found.update(session.scalars(select(Benchmark.id).where(Benchmark.job_id.in_(failed))))
    return found


class PartialResult(Document):
    """The result of a running evaluation so far: `correct` top-1 answers on `images` images."""

    images: int = 0
    correct: int = 0


def artifact_digests(stored: Iterable[dict[str, Any] | None]) -> list[str]:
    """Digests of the artifacts that jobs made or reused, in job order."""
    results = map(JobResult.from_stored, stored)
    return [result.artifact for result in results if result.artifact is not None]

"""What jobs give back: the `result` of their rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from engine.common.document import Document
from engine.errors import InvalidRequest


class JobResult(Document):
    """What a job made or found; `reused` where it was there already.

    `artifact`, `evaluation` and `benchmark` are what of them there is by digest or number;
    `profile` is the digest of the build that was profiled, at `batch` and `threads` (a list in the
    result of a peak job); `notes` are sentences for whoever asked; `corrupt_files` are (file, why).
    """

    artifact: str | None = None
    evaluation: int | None = None
    benchmark: int | None = None
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

    @classmethod
    def of(cls, stored: dict[str, Any] | None) -> JobResult:
        """Of a job's row; an empty one where the job gave nothing back."""
        return cls.read(stored, "The result of this job", InvalidRequest)


class PartialResult(Document):
    """What a running evaluation has found so far: `correct` top-1 answers on `images` images."""

    images: int = 0
    correct: int = 0


def artifacts_made(stored: Iterable[dict[str, Any] | None]) -> list[str]:
    """Digests of the artifacts that jobs made or found, in their order."""
    return [digest for one in stored if (digest := JobResult.of(one).artifact) is not None]

"""Disk space that a run needs, estimated before it is queued."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from db.enums import JobKind
from engine.config import settings
from engine.runs.downloads import MissingWeights
from engine.runs.many_models import list_models
from engine.runs.request import RunRequest
from engine.runs.sizes import BYTES_PER_PARAMETER, sizes_of
from engine.runs.work import Work
from engine.specs.precisions import facts_of

NOTED_FROM_BYTES = 1e9
"""Less is not worth a note, where it fits."""


@dataclass(frozen=True, slots=True)
class DiskEstimate:
    """`needed` bytes of downloads, exports and builds; `free` bytes of the home's disk.

    `unknown` are the models of unknown size, which are not counted.
    """

    needed: float
    free: float
    unknown: tuple[str, ...] = ()

    def warnings(self) -> tuple[str, ...]:
        """That the disk is too small."""
        if self.needed <= self.free:
            return ()
        return (
            f"The run needs about {_size(self.needed)} in {settings().home}, and only "
            f"{_size(self.free)} are free: remove unused artifacts (`artifacts clean`) or choose "
            f"fewer models{self._without()}.",
        )

    def notes(self) -> tuple[str, ...]:
        """The space that is needed, if it is much and there."""
        if self.needed < NOTED_FROM_BYTES or self.needed > self.free:
            return ()
        return (
            f"Disk space: about {_size(self.needed)}, of {_size(self.free)} free{self._without()}.",
        )

    def _without(self) -> str:
        return f" (without {list_models([*self.unknown])})" if self.unknown else ""


def estimate_disk(
    request: RunRequest, work: Work, missing: Sequence[MissingWeights], url: str
) -> DiskEstimate:
    """The estimate: each weight takes 4 bytes in a download and an export, as its precision in a
    build. Prepared images are not counted: they have a limit of their own (SENET_CACHE_GB).
    """
    sizes = sizes_of(request.models, url)
    bytes_of = {
        name: (size.params_m or 0.0) * 1e6 * BYTES_PER_PARAMETER for name, size in sizes.items()
    }
    needed = sum(bytes_of[one.model_id] for one in missing)
    for job in work.new:
        if job.kind == JobKind.EXPORT:
            needed += bytes_of.get(job.params["model_id"], 0.0)
        elif job.kind == JobKind.BUILD and facts_of(job.params["precision"]).file_of is None:
            share = facts_of(job.params["precision"]).weight_bytes / BYTES_PER_PARAMETER
            needed += bytes_of.get(job.params["export"]["model_id"], 0.0) * share
    unknown = tuple(name for name, size in sizes.items() if size.params_m is None)
    return DiskEstimate(
        needed, float(shutil.disk_usage(settings().folder("artifacts")).free), unknown
    )


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"

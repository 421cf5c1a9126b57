"""`peak`: what this machine can do at most, in the runtime that runs the models."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from db.enums import JobStatus
from engine.cli.follow import finish_job
from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note
from engine.common import environment
from engine.config import settings
from engine.peak.queueing import peak_job
from engine.peak.records import Peak, load_peaks, missing_threads
from engine.specs import PeakSpec
from engine.store.database import prepare_database


def peak(
    threads: Annotated[
        list[int] | None,
        typer.Option(
            min=1, max=1024, help="Number of threads; repeat for several. 1 and all cores if left."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Measure also what is known; the better figure stays.")
    ] = False,
    json: Json = False,
) -> int:
    """Measures what the machine can do at most (GMAC/s), by matrix products; once, then shows it.

    Example: `python -m engine peak`
    """
    url, digest = prepare_database(), environment.observe_machine().digest
    wanted = sorted(set(threads or (1, settings().threads)))
    missing = wanted if again else missing_threads(digest, wanted, url)
    status = JobStatus.SUCCEEDED
    if missing:
        status = JobStatus(finish_job(peak_job(PeakSpec(threads=tuple(missing)))).status)
    peaks = load_peaks(digest, url)
    if json:
        emit_json({"environment": digest, "peaks": [asdict(one) for one in peaks]})
    else:
        _show(peaks)
    return 0 if status == JobStatus.SUCCEEDED else 1


def _show(peaks: list[Peak]) -> None:
    emit_table(
        "Peak of this machine",
        ("precision", "threads", "GMAC/s", "by", "sessions", "noisy because"),
        [
            (
                one.precision,
                one.threads,
                one.gmacs_per_s,
                one.kernel,
                one.sessions,
                "; ".join(one.noise) or None,
            )
            for one in peaks
        ],
    )
    if any(one.noise for one in peaks):
        note("Other work was going on: `peak --again` when it is quiet; the better figure stays.")

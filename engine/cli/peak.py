"""`peak`: the peak compute rate of this machine, in the runtime that runs the models."""

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
            min=1,
            max=1024,
            help="Number of threads. Repeat the option for several. Default: 1 and all cores.",
        ),
    ] = None,
    ignore_cached: Annotated[
        bool,
        typer.Option(
            "--ignore-cached",
            help="Ignore cached results and measure again; the higher figure is stored.",
        ),
    ] = False,
    json: Json = False,
) -> int:
    """Measures the peak compute rate of this machine (GMAC/s), by matrix products.

    The figures are measured once for each precision and number of threads, and shown from then on.
    1 GMAC is 10^9 multiply-accumulates, or 2 GFLOP.

    Example: `python -m engine peak`
    """
    url, digest = prepare_database(), environment.observe_machine().digest
    thread_counts = sorted(set(threads or (1, settings().threads)))
    missing = thread_counts if ignore_cached else missing_threads(digest, thread_counts, url)
    status = JobStatus.SUCCEEDED
    if missing:
        status = JobStatus(finish_job(peak_job(PeakSpec(threads=tuple(missing)))).status)
    peaks = load_peaks(digest, url)
    if json:
        emit_json({"environment": digest, "peaks": [asdict(row) for row in peaks]})
    else:
        _show(peaks)
    return 0 if status == JobStatus.SUCCEEDED else 1


def _show(peaks: list[Peak]) -> None:
    emit_table(
        "Peak compute rate of this machine",
        ("precision", "threads", "GMAC/s", "kernel", "sessions", "interference"),
        [
            (
                row.precision,
                row.threads,
                row.gmacs_per_s,
                row.kernel,
                row.sessions,
                "; ".join(row.noise) or None,
            )
            for row in peaks
        ],
    )
    if any(row.noise for row in peaks):
        note(
            "Other programs were running; `peak --ignore-cached` measures again when they are not."
        )

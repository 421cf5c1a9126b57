"""`peak`: the peak compute rate of this machine, in the runtime that runs the models."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from db.enums import JobStatus
from engine.cli.follow import finish_job
from engine.cli.options import Json, Runtimes
from engine.cli.output import emit_json, emit_table, note
from engine.common import environment
from engine.config import settings
from engine.errors import InvalidRequest
from engine.peak.queueing import peak_job
from engine.peak.records import Peak, load_peaks, missing_threads, runtime_of_key
from engine.runtimes.registry import RUNTIMES, why_not
from engine.specs import DEFAULT_RUNTIME, PeakSpec
from engine.specs.precisions import REFERENCE
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
    runtime: Runtimes = None,
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
    status = JobStatus.SUCCEEDED
    for name in _with_peak(runtime):
        missing = missing_threads(digest, thread_counts, url, name)
        counts = thread_counts if ignore_cached else missing
        if counts:
            job = finish_job(peak_job(PeakSpec(threads=tuple(counts), runtime=name)))
            status = status if job.status == JobStatus.SUCCEEDED else JobStatus(job.status)
    peaks = load_peaks(digest, url)
    if json:
        emit_json({"environment": digest, "peaks": [asdict(row) for row in peaks]})
    else:
        _show(peaks)
    return 0 if status == JobStatus.SUCCEEDED else 1


def _with_peak(names: list[str] | None) -> list[str]:
    """The chosen runtimes; raises InvalidRequest for one without a peak."""
    chosen = list(dict.fromkeys(names or (DEFAULT_RUNTIME,)))
    for name in chosen:
        reason = why_not(name, REFERENCE)
        if reason is None and not RUNTIMES[name].has_peak:
            reason = f"Runtime {name} has no peak of its own: choose another runtime."
        if reason is not None:
            raise InvalidRequest(reason)
    return chosen


def _show(peaks: list[Peak]) -> None:
    emit_table(
        "Peak compute rate of this machine",
        ("runtime", "precision", "threads", "GMAC/s", "kernel", "sessions", "interference"),
        [
            (
                runtime_of_key(row.precision),
                row.precision.rpartition(" ")[2],
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

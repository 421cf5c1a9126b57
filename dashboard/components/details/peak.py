"""The compute peak of this machine, the best share of it, and a button to measure it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard
from dashboard.components.common.notice import leave_notice
from dashboard.formats import escape_markdown, number
from db.enums import JobKind
from db.session import writing
from engine.common import environment
from engine.config import settings
from engine.jobs import dispatcher, queue
from engine.peak.queueing import peak_job
from engine.peak.records import Peak, runtime_of_key
from engine.runtimes.registry import RUNTIMES, label_of
from engine.specs import DEFAULT_RUNTIME, PeakSpec

COLUMNS: dict[str, Any] = {
    "gmacs_per_s": st.column_config.NumberColumn("GMAC/s", format="%.0f"),
    "kernel": "kernel",
    "measured": st.column_config.DatetimeColumn("measured", format="distance"),
}


def show_peak(environment_digest: str) -> None:
    """The peak by precision and number of threads."""
    st.subheader("Compute peak")
    peaks = queries.peaks(environment_digest)
    waiting = any(view.row.kind == JobKind.PEAK for view in queries.live_jobs())
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_about(peaks, environment_digest), width="stretch")
        label = "Measuring" if waiting else "Measure again" if peaks else "Measure"
        st.button(label, key="peak", icon=":material/speed:", disabled=waiting, on_click=measure)
    if not peaks:
        return
    rows = {
        "runtime": [label_of(runtime_of_key(peak.precision)) for peak in peaks],
        "precision": [peak.precision.rpartition(" ")[2] for peak in peaks],
        "threads": [peak.threads for peak in peaks],
        "gmacs_per_s": [peak.gmacs_per_s for peak in peaks],
        "kernel": [peak.kernel for peak in peaks],
        "measured": pd.to_datetime([peak.measured_at for peak in peaks], unit="s", utc=True),
    }
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config=COLUMNS,
        alt="Compute peak of this machine by precision and threads",
    )
    noise = sorted({reason for peak in peaks for reason in peak.noise})
    if noise:
        st.warning(
            f"Interference during the measurement: {escape_markdown('; '.join(noise))}. Measure "
            f"again when the machine is idle; the higher figure is kept.",
            icon=":material/warning:",
        )


def _about(peaks: list[Peak], environment_digest: str) -> str:
    if not peaks:
        return (
            "The compute peak of this machine in a runtime is measured once, after the first "
            "benchmark there (about 15 s). Benchmarks are then shown as a share of it."
        )
    benchmarks = queries.tables().benchmarks
    same_machine = benchmarks["environment_digest"] == environment_digest
    shares = benchmarks.loc[same_machine, "peak_share"].dropna()
    best = f" Best benchmark so far: {number(shares.max(), 0)} % of it." if len(shares) else ""
    return escape_markdown("The best of several matrix products in each runtime." + best)


def measure() -> None:
    """Callback: queues the job."""
    with guard():
        threads = tuple(sorted({1, settings().threads}))
        peaks = queries.peaks(environment.observe_machine().digest)
        measured = {runtime_of_key(peak.precision) for peak in peaks} | {DEFAULT_RUNTIME}
        with writing(queries.url()) as session:
            for name in sorted(measured, key=list(RUNTIMES).index):
                queue.submit(session, peak_job(PeakSpec(threads=threads, runtime=name)))
        dispatcher.ensure_dispatcher()
        leave_notice("Queued: the peak is measured when no other job runs.")

"""Waiting for a benchmark: the images are kept, and classified as soon as the machine is free."""

from __future__ import annotations

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard
from dashboard.components.jobs.machine import machine_holder, machine_text
from dashboard.components.jobs.progress import schedule
from dashboard.formats import duration, plural
from db.enums import JobStatus

LOOK_EVERY_S = 2.0


def is_machine_free() -> bool:
    """False while a benchmark runs on this machine: classification would disturb it."""
    return machine_holder() is None


def show_waiting(images: int) -> None:
    """Says what is waited for and for how long, and continues by itself."""
    st.fragment(run_every=LOOK_EVERY_S)(_look)(images)


def _look(images: int) -> None:
    with guard():
        held = machine_holder()
        if held is None:
            st.rerun()
        live = queries.live_jobs()
        running = [view for view in live if view.row.status == JobStatus.RUNNING]
        alone = [view for view in running if view.row.exclusive]
        left_s = schedule(live).left_s(alone)
        left = f" About {duration(left_s)} left." if left_s else ""
        text = machine_text(held, [view.row for view in running])
        st.info(
            f"{text}, and classification would disturb it.{left} "
            f"{plural(images, 'image')} waiting: classification continues by itself.",
            icon=":material/hourglass:",
        )

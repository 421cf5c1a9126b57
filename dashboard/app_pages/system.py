"""This machine, its software, the data on its disk, and what every figure means."""

from __future__ import annotations

import shutil

import streamlit as st
from sqlalchemy.engine import make_url

from dashboard import queries
from dashboard.components.definitions import DEFINITIONS
from dashboard.components.provenance import environment_facts, facts_table
from dashboard.formats import short, size
from engine import environment
from engine.config import settings
from engine.jobs import dispatcher


def machine() -> None:
    """What decides whether two measurements may be compared."""
    now = environment.observe()
    st.subheader("Machine")
    st.caption(
        "Speeds are compared only between equal machines: every fact below is part of the digest "
        f"`{short(now.digest)}`. Load of the last minute: {now.load_1min:.2f}."
    )
    facts_table(environment_facts(now.facts), alt="Facts of this machine")


def workbench() -> None:
    """The queue, the database, the settings."""
    live = queries.live_jobs()
    found = settings()
    st.subheader("Workbench")
    facts_table(
        {
            "dispatcher": "running" if dispatcher.is_running() else "idle (nothing is queued)",
            "live jobs": len(live),
            "jobs at once": found.slots,
            "threads of a job": found.threads,
            "data folder": found.home,
            "database": make_url(found.url).render_as_string(hide_password=True),
            "network": "never (SENET_OFFLINE)" if found.offline else "for pretrained weights only",
            "streamlit": st.__version__,
        },
        alt="State of the workbench",
    )


def disk() -> None:
    """Bytes by folder."""
    home = settings().home
    free = shutil.disk_usage(home).free
    st.subheader("Disk")
    st.caption(f"{size(free)} free. Counted at most once a minute.")
    used = {name: size(count) for name, count in queries.disk_use(str(home)).items() if count}
    facts_table(used, alt="Disk use by folder") if used else st.caption("Nothing stored yet.")


def definitions() -> None:
    """What every figure means and how it is made."""
    st.subheader("What the figures mean")
    with st.grid(3, min_column_width=300, gap=("small", "large")):
        for term, meaning in DEFINITIONS.items():
            st.markdown(f"**{term}**  \n{meaning}")


st.title("System")
left, right = st.columns(2, gap="large")
with left:
    machine()
with right:
    workbench()
    disk()
definitions()

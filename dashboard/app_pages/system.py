"""This machine, its software, the data on its disk, and what every figure means."""

from __future__ import annotations

import shutil

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.definitions import DEFINITIONS
from dashboard.components.common.guard import guard_callback
from dashboard.components.common.login import show_user
from dashboard.components.common.notice import leave_notice
from dashboard.components.details.peak import show_peak
from dashboard.components.details.provenance import facts_table
from dashboard.formats import escape_markdown, plural, short, size
from engine.common import environment
from engine.common.database_url import location_of
from engine.config import settings
from engine.jobs import dispatcher
from engine.jobs.workspaces import abandoned, remove
from engine.results.cleanup import Stored, clean
from engine.results.facts import environment_facts

MOST_NAMED = 12


def machine() -> None:
    """What decides whether two measurements may be compared."""
    now = environment.observe_machine()
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
            "datasets": plural(len(queries.datasets()), "registered set"),
            "jobs at once": found.slots,
            "threads of a job": found.threads,
            "data folder": found.home,
            "database": location_of(found.url),
            "network": "never (SENET_OFFLINE)" if found.offline else "for pretrained weights only",
            "streamlit": st.__version__,
            **queries.health(),
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


def artifacts() -> None:
    """The store by artifact, and the removal of what nothing rests on."""
    st.subheader("Artifacts")
    found = queries.artifacts(queries.url(), queries.version())
    if not found:
        st.caption("Nothing was exported or built yet.")
        return
    idle = [one for one in found if one.removable]
    total = sum(one.bytes_on_disk for one in found)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{plural(len(found), 'artifact')}, {size(total)}.", width="stretch")
        clean_up(idle)
    st.dataframe(
        pd.DataFrame(
            {
                "artifact": [short(one.digest) for one in found],
                "model": [one.model_id or "not recorded" for one in found],
                "precision": [one.precision for one in found],
                "kind": [one.kind for one in found],
                "MB": [one.bytes_on_disk / 1e6 for one in found],
                "used by": [", ".join(one.used_by) or "nothing" for one in found],
                "made": pd.to_datetime([one.created_at for one in found], unit="s", utc=True),
            }
        ),
        hide_index=True,
        placeholder="–",
        height=min(420, 36 * (len(found) + 1) + 4),
        row_height=36,
        column_config={
            "MB": st.column_config.ProgressColumn(
                "MB", format="%.1f", min_value=0, max_value=found[0].bytes_on_disk / 1e6 or 1.0
            ),
            "made": st.column_config.DatetimeColumn("made", format="distance"),
        },
        alt="Artifacts by size on disk, and what rests on each",
    )


def clean_up(idle: list[Stored]) -> None:
    """Says what would go; removes it when told so."""
    with st.popover("Clean up", icon=":material/delete_sweep:", disabled=not idle):
        freed = size(sum(one.bytes_on_disk for one in idle))
        names = "\n".join(
            f"- {escape_markdown(one.model_id or 'not recorded')} {one.precision or ''} "
            f"{one.kind or ''} `{short(one.digest)}`"
            for one in idle[:MOST_NAMED]
        )
        more = f"\n- and {len(idle) - MOST_NAMED} more" if len(idle) > MOST_NAMED else ""
        st.markdown(
            f"No measurement rests on {plural(len(idle), 'artifact')} ({freed}):\n\n{names}{more}"
        )
        st.button(
            f"Remove {plural(len(idle), 'artifact')}",
            key="clean",
            type="primary",
            on_click=remove_idle,
        )


def remove_idle() -> None:
    """Callback: removes, and leaves a word about it."""
    with guard_callback():
        gone = clean(queries.url())
        remove(abandoned(queries.url()))
        freed = size(sum(one.bytes_on_disk for one in gone))
        leave_notice(f"Removed {plural(len(gone), 'artifact')}, {freed}.")


def definitions() -> None:
    """What every figure means and how it is made."""
    st.subheader("What the figures mean")
    with st.grid(3, min_column_width=300, gap=("small", "large")):
        for term, meaning in DEFINITIONS.items():
            st.markdown(f"**{term}**  \n{meaning}")


st.title("System")
show_user()
left, right = st.columns(2, gap="large")
with left:
    machine()
    show_peak(environment.observe_machine().digest)
with right:
    workbench()
    disk()
artifacts()
definitions()

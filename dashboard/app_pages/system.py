"""Page System: the machine, the workbench, disk use, artifacts, and definitions of all figures."""

from __future__ import annotations

import shutil

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.definitions import DEFINITIONS
from dashboard.components.common.guard import guard_callback
from dashboard.components.common.login import show_user
from dashboard.components.common.notice import leave_notice
from dashboard.components.common.purpose import page_title
from dashboard.components.details.hosts import show_hosts
from dashboard.components.details.peak import show_peak
from dashboard.components.details.provenance import facts_table
from dashboard.components.details.verification import show_verification
from dashboard.formats import escape_markdown, plural, short, size
from engine import __version__
from engine.common import environment
from engine.common.database_url import location_of
from engine.config import settings
from engine.jobs import dispatcher
from engine.jobs.workspaces import abandoned, remove
from engine.results.cleanup import StoredArtifact, remove_unused_artifacts
from engine.results.facts import environment_facts
from engine.runtimes.registry import statuses

MAX_LISTED = 12


def machine() -> None:
    """The facts of the machine, which decide whether benchmarks may be compared."""
    machine_facts = environment.observe_machine()
    st.subheader("Machine")
    st.caption(
        "Benchmarks are compared only between equal machines: all facts below are part of the "
        f"digest `{short(machine_facts.digest)}`. Load average (1 min): "
        f"{machine_facts.load_1min:.2f}."
    )
    facts_table(environment_facts(machine_facts.facts), alt="Facts of this machine")


def workbench() -> None:
    """Queue, database and settings."""
    live = queries.live_jobs()
    config = settings()
    st.subheader("Workbench")
    facts_table(
        {
            "queue": "active" if dispatcher.is_running() else "idle (no queued jobs)",
            "queued and running jobs": len(live),
            "registered datasets": len(queries.datasets()),
            "concurrent jobs": config.slots,
            "threads per job": config.threads,
            "data folder": config.home,
            "database": location_of(config.url),
            "network": "off (SENET_OFFLINE)" if config.offline else "for pretrained weights only",
            "SENet Workbench": __version__,
            "streamlit": st.__version__,
            **queries.health(),
        },
        alt="State of the workbench",
    )


def runtimes() -> None:
    """The runtimes, their versions, and what they execute on this machine."""
    st.subheader("Runtimes")
    found = statuses()
    st.dataframe(
        pd.DataFrame(
            {
                "runtime": [one.label for one in found],
                "version": [one.version or "not installed" for one in found],
                "precisions here": [", ".join(one.precisions) or None for one in found],
            }
        ),
        hide_index=True,
        placeholder="–",
        alt="Runtimes with version and the precisions that they execute on this machine",
    )
    for reason in dict.fromkeys(reason for one in found for reason in one.reasons):
        st.caption(escape_markdown(reason))


def disk() -> None:
    """Disk use by folder."""
    home = settings().home
    free = shutil.disk_usage(home).free
    st.subheader("Disk")
    st.caption(f"{size(free)} free. Updated at most once per minute.")
    used = {name: size(count) for name, count in queries.disk_use(str(home)).items() if count}
    facts_table(used, alt="Disk use by folder") if used else st.caption("Nothing stored yet.")


def artifacts() -> None:
    """The stored artifacts, and the removal of unused ones."""
    st.subheader("Artifacts")
    stored = queries.artifacts(queries.url(), queries.version())
    if not stored:
        st.caption("No exports or builds yet.")
        return
    unused = [artifact for artifact in stored if artifact.removable]
    total = sum(artifact.bytes_on_disk for artifact in stored)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{plural(len(stored), 'artifact')}, {size(total)}.", width="stretch")
        clean_up(unused)
    st.dataframe(
        pd.DataFrame(
            {
                "artifact": [short(artifact.digest) for artifact in stored],
                "model": [artifact.model_id or "not recorded" for artifact in stored],
                "precision": [artifact.precision for artifact in stored],
                "kind": [artifact.kind for artifact in stored],
                "MB": [artifact.bytes_on_disk / 1e6 for artifact in stored],
                "used by": [", ".join(artifact.used_by) or "nothing" for artifact in stored],
                "created": pd.to_datetime(
                    [artifact.created_at for artifact in stored], unit="s", utc=True
                ),
            }
        ),
        hide_index=True,
        placeholder="–",
        height=min(420, 36 * (len(stored) + 1) + 4),
        row_height=36,
        column_config={
            "MB": st.column_config.ProgressColumn(
                "MB", format="%.1f", min_value=0, max_value=stored[0].bytes_on_disk / 1e6 or 1.0
            ),
            "created": st.column_config.DatetimeColumn("created", format="distance"),
        },
        alt="Artifacts by size on disk, and the results that use each",
    )


def clean_up(unused: list[StoredArtifact]) -> None:
    """Lists the unused artifacts, with a button to remove them."""
    with st.popover("Clean up", icon=":material/delete_sweep:", disabled=not unused):
        freed = size(sum(artifact.bytes_on_disk for artifact in unused))
        names = "\n".join(
            f"- {escape_markdown(artifact.model_id or 'not recorded')} {artifact.precision or ''} "
            f"{artifact.kind or ''} `{short(artifact.digest)}`"
            for artifact in unused[:MAX_LISTED]
        )
        more = f"\n- and {len(unused) - MAX_LISTED} more" if len(unused) > MAX_LISTED else ""
        st.markdown(
            f"No measurement uses {plural(len(unused), 'artifact')} ({freed}):\n\n{names}{more}"
        )
        st.button(
            f"Remove {plural(len(unused), 'artifact')}",
            key="clean",
            type="primary",
            on_click=remove_unused,
        )


def remove_unused() -> None:
    """Callback: removes the unused artifacts, and leaves a notice."""
    with guard_callback():
        removed = remove_unused_artifacts(queries.url())
        remove(abandoned(queries.url()))
        freed = size(sum(artifact.bytes_on_disk for artifact in removed))
        leave_notice(f"Removed {plural(len(removed), 'artifact')}, {freed}.")


def definitions() -> None:
    """The definitions of all figures."""
    st.subheader("Definitions")
    with st.grid(3, min_column_width=300, gap=("small", "large")):
        for term, meaning in DEFINITIONS.items():
            st.markdown(f"**{term}**  \n{meaning}")


page_title("System")
show_user()
left, right = st.columns(2, gap="large")
with left:
    machine()
    show_peak(environment.observe_machine().digest)
with right:
    workbench()
    runtimes()
    disk()
show_hosts()
show_verification()
artifacts()
definitions()

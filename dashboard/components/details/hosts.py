"""The hosts that run jobs: state, machine, runtimes, and how they differ from this machine."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import escape_markdown
from engine.hosts.registry import HostRecord, all_hosts


def show_hosts() -> None:
    """A table of the hosts; nothing before one has run a job."""
    hosts = all_hosts(queries.url())
    if not hosts:
        return
    st.subheader("Hosts")
    st.caption(
        "Machines that run jobs for this database. A host is known by the identity in its data "
        "folder, whatever its hostname is; `senet hosts label` names it."
    )
    st.dataframe(
        pd.DataFrame([_row(host) for host in hosts]),
        hide_index=True,
        placeholder="–",
        row_height=36,
        height=36 * (min(len(hosts), 10) + 1) + 4,
        alt="Hosts with state, processor, memory, GPU and runtimes",
    )
    for text in differences(hosts):
        st.caption(escape_markdown(text))


def _row(host: HostRecord) -> dict[str, object]:
    facts = host.facts
    return {
        "host": host.label,
        "state": host.state,
        "processor": facts["cpu"],
        "cores": facts["cores"],
        "memory (GiB)": facts["memory_gb"],
        "GPU": facts["gpu"],
        "runtimes": ", ".join(
            f"{name} {one['version']}" for name, one in facts["runtimes"].items()
        ),
        "hostname": facts["host"],
        "identity": host.identity[:8],
    }


def differences(hosts: list[HostRecord]) -> list[str]:
    """A sentence for each host whose workbench or libraries are other versions than here."""
    here = next((host for host in hosts if host.is_here), None)
    if here is None:
        return []
    return [text for host in hosts if (text := host.difference_to(here)) is not None]

"""`hosts`: the machines that run jobs; label and forget them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note
from engine.hosts import registry
from engine.hosts.registry import KnownHost
from engine.store.database import prepare_database

app = typer.Typer(no_args_is_help=True)
HEADERS = ("host", "state", "processor", "cores", "GiB", "GPU", "runtimes", "workbench", "identity")
HostName = Annotated[
    str, typer.Argument(metavar="HOST", help="Label or identity, as `hosts list` shows them.")
]


@app.command("list")
def list_hosts(json: Json = False) -> None:
    """Lists the machines that run jobs: state, processor, memory, GPU, runtimes, workbench.

    Example: `python -m engine hosts list`
    """
    hosts = registry.known_hosts(prepare_database())
    if json:
        emit_json([{**asdict(host), "state": host.state} for host in hosts])
        return
    emit_table("Hosts", HEADERS, map(_row, hosts))


def _row(host: KnownHost) -> tuple[object, ...]:
    facts = host.facts
    runtimes = ", ".join(f"{name} {one['version']}" for name, one in facts["runtimes"].items())
    machine = (facts["cpu"], facts["cores"], facts["memory_gb"], facts["gpu"])
    return host.label, host.state, *machine, runtimes, host.version, host.identity[:8]


@app.command("label")
def label(
    host: HostName,
    label: Annotated[str, typer.Argument(help="Its new label, which no other host has.")],
    json: Json = False,
) -> None:
    """Gives a host another label; results and jobs show it.

    Example: `python -m engine hosts label buildbox-2 edge-a`
    """
    url = prepare_database()
    found = registry.find_host(url, host)
    registry.rename(url, found, label)
    emit_json({"identity": found.identity, "label": label}) if json else note(
        f"{found.label} is called {label} now."
    )


@app.command("forget")
def forget(host: HostName, json: Json = False) -> None:
    """Removes a host that is gone from the list; its results are kept.

    Example: `python -m engine hosts forget edge-a`
    """
    url = prepare_database()
    found = registry.find_host(url, host)
    registry.forget(url, found)
    emit_json({"identity": found.identity}) if json else note(f"{found.label} is forgotten.")

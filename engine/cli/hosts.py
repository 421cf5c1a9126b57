"""`hosts`: the machines that run jobs: list, label and forget them; head and nodes of a cluster."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note
from engine.config import settings
from engine.errors import DatabaseUnusable
from engine.hosts import cluster, registry
from engine.hosts.ownership import is_shared
from engine.hosts.registry import HostRecord
from engine.jobs.dispatcher import ensure_dispatcher
from engine.store.database import prepare_database

app = typer.Typer(no_args_is_help=True)
HEADERS = ("host", "state", "processor", "cores", "GiB", "GPU", "runtimes", "workbench", "identity")
Slots = Annotated[
    int | None,
    typer.Option(
        min=0, max=64, help="Jobs at once on this machine; 0: none. Default: SENET_SLOTS."
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--ip", help="Address of this machine that the others reach. Default: Ray finds."),
]
Label = Annotated[
    str | None, typer.Option("--label", help="Label of this machine. Default: its hostname.")
]
HostName = Annotated[
    str, typer.Argument(metavar="HOST", help="Label or identity, as `hosts list` shows them.")
]


@app.command("list")
def list_hosts(json: Json = False) -> None:
    """Lists the machines that run jobs: state, processor, memory, GPU, runtimes, workbench.

    Example: `python -m engine hosts list`
    """
    hosts = registry.all_hosts(prepare_database())
    if json:
        emit_json([{**asdict(host), "state": host.state} for host in hosts])
        return
    emit_table("Hosts", HEADERS, map(_row, hosts))


def _row(host: HostRecord) -> tuple[object, ...]:
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


@app.command("head")
def head(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port that hosts join at.")] = 6379,
    slots: Slots = None,
    ip: Address = None,
    label: Label = None,
    json: Json = False,
) -> None:
    """Starts the head of a cluster on this machine and keeps it and the dispatcher running.

    Needs DATABASE_URL (PostgreSQL) and SENET_EXECUTOR=ray. Prints how other hosts join.

    Example: `python -m engine hosts head --port 6379`
    """
    url = _prepare_host(label)
    cluster.make_token()
    emit_json({"port": port, "token": str(cluster.token_file())}) if json else note(
        f"Other hosts join with `senet hosts join ADDRESS:{port}`, the same DATABASE_URL and "
        f"SENET_EXECUTOR=ray, and a copy of {cluster.token_file()} in their home."
    )
    where = ["--head", f"--port={port}", "--include-dashboard=false", *_ip(ip)]
    command = cluster.node_command(*where, slots=settings().slots if slots is None else slots)
    cluster.stay_in_cluster(command, url, ensure_dispatcher)


@app.command("join")
def join(
    address: Annotated[str, typer.Argument(help="Address of the head, such as 10.0.0.1:6379.")],
    slots: Slots = None,
    ip: Address = None,
    label: Label = None,
    json: Json = False,
) -> None:
    """Makes this machine a host of a cluster, until the command is stopped.

    Needs the DATABASE_URL of the cluster, SENET_EXECUTOR=ray, and the token of the head (its file
    ray.token in the home, or RAY_AUTH_TOKEN).

    Example: `python -m engine hosts join 10.0.0.1:6379`
    """
    url = _prepare_host(label)
    own = settings().slots if slots is None else slots
    if json:
        emit_json({"address": address, "slots": own})
    command = cluster.node_command(f"--address={address}", *_ip(ip), slots=own)
    cluster.stay_in_cluster(command, url, lambda: None)


def _ip(ip: str | None) -> list[str]:
    return [f"--node-ip-address={ip}"] if ip else []


def _prepare_host(label: str | None) -> str:
    """The database of the cluster, with this host registered."""
    cluster.require_ray()
    if not is_shared(settings().url):
        raise DatabaseUnusable(
            "A cluster needs SENET_EXECUTOR=ray on every host, and DATABASE_URL of a PostgreSQL "
            "server that all of them reach."
        )
    url = prepare_database()
    known = next((host for host in registry.all_hosts(url) if host.is_here), None)
    cluster.refuse_copy(known, registry.host_facts())
    registry.announce(url)
    if label is not None and (known is None or known.label != label):
        here = next(host for host in registry.all_hosts(url) if host.is_here)
        registry.rename(url, here, label)
    return url

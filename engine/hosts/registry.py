"""The hosts that are known to a database: label, facts, and when each was last heard of.

A host is known by the identity in its home, never by its hostname: two hosts may have the same one.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.exc import IntegrityError

from db.clock import utc_epoch
from db.models import Host
from db.session import reading, writing
from engine import __version__
from engine.common.digests import data_digest
from engine.common.environment import observe_machine
from engine.config import settings
from engine.errors import InvalidRequest
from engine.hosts import home
from engine.runtimes.registry import statuses
from engine.text import ago, quoted

HEARD_EVERY_S = 5.0
UP_S = 20.0
"""A host that was heard of within so long is up."""
MAX_LABEL = 60
DEVICE_FACTS = ("cpu", "isa", "cores", "memory_gb", "machine", "gpu")
"""The facts that are equal on two hosts of one device model."""


@dataclass(frozen=True, slots=True)
class HostRecord:
    """A host; `silent_s`: seconds since it was heard of; `is_here`: it is this machine's home."""

    identity: str
    label: str
    facts: dict[str, Any]
    silent_s: float
    is_here: bool

    @property
    def is_up(self) -> bool:
        """Whether it was heard of a short time ago."""
        return self.silent_s < UP_S

    @property
    def state(self) -> str:
        """`up`, `this machine` or `last heard of 5 min ago`."""
        if self.is_up:
            return "up"
        if self.is_here:
            return "this machine"
        short = self.silent_s < 60
        when = f"{self.silent_s:.0f} s ago" if short else ago(0, self.silent_s)
        return f"last heard of {when}"

    @property
    def device(self) -> str:
        """Digest of the device model: equal for two boxes of one kind."""
        return device_of(self.facts)

    @property
    def version(self) -> str | None:
        """Version of the workbench there."""
        return self.facts.get("workbench")

    def versions(self) -> dict[str, str]:
        """Versions of the workbench, its runtimes and libraries, by name."""
        runtimes = {name: one["version"] for name, one in self.facts.get("runtimes", {}).items()}
        packages = {**self.facts.get("packages", {}), **runtimes}
        return {"SENet Workbench": str(self.version), **packages}

    def difference_to(self, other: HostRecord) -> str | None:
        """A sentence on the versions that differ from those of another host; None if none does."""
        own, others = self.versions(), other.versions()
        differing = [
            f"{name} {own.get(name, 'absent')} ({others.get(name, 'absent')} on {other.label})"
            for name in sorted(own.keys() | others.keys())
            if own.get(name) != others.get(name)
        ]
        if not differing:
            return None
        return (
            f"{self.label} has {', '.join(differing)}: its speeds are not compared with those of "
            f"{other.label}. Install requirements.txt of one version on both."
        )


def device_of(facts: dict[str, Any]) -> str:
    """Digest of the facts that make a device model."""
    return data_digest({name: facts.get(name) for name in DEVICE_FACTS})


def host_facts() -> dict[str, Any]:
    """The facts of this machine, its runtimes with versions and precisions, and the workbench."""
    runtimes = {
        one.name: {"version": one.version, "precisions": list(one.precisions)}
        for one in statuses()
        if one.version is not None
    }
    own = {"workbench": __version__, "folder": str(settings().home), "slots": settings().slots}
    return {**observe_machine().facts, "runtimes": runtimes, **own}


@lru_cache(maxsize=8)
def _registration(url: str, identity: str) -> _Registration:
    return _Registration(url, identity)


class _Registration:
    """What this process has announced of this host to a database."""

    def __init__(self, url: str, identity: str) -> None:
        self.url, self.identity = url, identity
        self.label: str | None = None
        self.announced_at = 0.0

    def announce(self) -> str:
        now = time.monotonic()
        if self.label is not None and now - self.announced_at < HEARD_EVERY_S:
            return self.label
        if self.label is None or not heard_of(self.url, [self.identity]):
            self.label = _register(self.url, self.identity)
        self.announced_at = now
        return self.label


def announce(url: str) -> str:
    """Tells the database that this host is up, and its facts once a process; returns its label.

    A process that calls it often writes every HEARD_EVERY_S. A home without an identity is not
    registered: its hostname is returned.
    """
    own = home.load()
    return socket.gethostname() if own is None else _registration(url, own.identity).announce()


def heard_of(url: str, identities: Iterable[str]) -> int:
    """Records that these hosts are up now; returns how many of them are known."""
    with writing(url) as session:
        statement = update(Host).where(Host.identity.in_(list(identities)))
        result = session.execute(statement.values(heard_at=utc_epoch()))
        return cast(CursorResult[Any], result).rowcount


def _register(url: str, identity: str) -> str:
    """Writes the facts of this host; a new one gets a label that no other has."""
    facts = host_facts()
    for number in range(1, 100):
        name = socket.gethostname()[: MAX_LABEL - 3] + (f"-{number}" if number > 1 else "")
        try:
            with writing(url) as session:
                known = session.get(Host, identity)
                if known is None:
                    session.add(Host(identity=identity, label=name, facts=facts))
                    return name
                known.facts = facts
                label = known.label
            heard_of(url, [identity])
            return label
        except IntegrityError:
            continue  # another host has this label
    return identity


def all_hosts(url: str) -> list[HostRecord]:
    """All hosts, in the order of their labels."""
    own = home.load()
    statement = select(Host, utc_epoch() - Host.heard_at).order_by(Host.label)
    with reading(url) as session:
        return [
            HostRecord(
                row.identity,
                row.label,
                row.facts,
                max(0.0, silent_s),
                own is not None and row.identity == own.identity,
            )
            for row, silent_s in session.execute(statement)
        ]


def find_host(url: str, name: str) -> HostRecord:
    """The host with this label or identity. Raises InvalidRequest if there is none."""
    hosts = all_hosts(url)
    found = [host for host in hosts if name in (host.label, host.identity)]
    if not found:
        names = ", ".join(host.label for host in hosts) or "none yet"
        raise InvalidRequest(f"There is no host {quoted(name)}; known hosts: {names}.")
    return found[0]


def rename(url: str, host: HostRecord, label: str) -> None:
    """Gives a host another label. Raises InvalidRequest for one that is empty, long or taken."""
    label = label.strip()
    if not label or len(label) > MAX_LABEL or not label.isprintable():
        raise InvalidRequest(f"A label has 1 to {MAX_LABEL} characters: choose another one.")
    try:
        with writing(url) as session:
            session.get_one(Host, host.identity).label = label
    except IntegrityError as error:
        raise InvalidRequest(f"Another host is called {label}: choose another label.") from error


def forget(url: str, host: HostRecord) -> None:
    """Removes a host from the list; its results stay. Raises InvalidRequest while it is up."""
    if host.is_up:
        raise InvalidRequest(f"{host.label} is up: stop it first (`ray stop` on that machine).")
    with writing(url) as session:
        session.execute(delete(Host).where(Host.identity == host.identity))

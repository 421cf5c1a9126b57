"""On which hosts a job may run: some by identity, any of a device model, or any at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from engine.hosts.registry import HostRecord


@dataclass(frozen=True, slots=True)
class Wish:
    """`hosts`: identities; `device`: digest of a device model. Empty: any host."""

    hosts: tuple[str, ...] = ()
    device: str | None = None

    def __bool__(self) -> bool:
        return bool(self.hosts or self.device)

    def allows(self, host: HostRecord) -> bool:
        """Whether a job with this wish may run on a host."""
        if self.hosts:
            return host.identity in self.hosts
        return self.device is None or self.device == host.device

    def dump(self) -> dict[str, Any] | None:
        """The stored form; None for any host."""
        document = {"hosts": list(self.hosts), "device": self.device}
        return {name: value for name, value in document.items() if value} or None

    @classmethod
    def from_stored(cls, document: dict[str, Any] | None) -> Wish:
        """The wish of a job's row."""
        found = document or {}
        return cls(tuple(found.get("hosts", ())), found.get("device"))


ANY_HOST = Wish()


def why_none(wish: Wish, hosts: Iterable[HostRecord], version: str) -> str:
    """Why no host runs a job now, as one sentence; `version` is that of the dispatcher."""
    fitting = [host for host in hosts if wish.allows(host)]
    if not fitting:
        return "no known host fits its choice; `senet hosts list` shows all."
    others = [host for host in fitting if host.version != version]
    if others and len(others) == len(fitting):
        return (
            f"{', '.join(host.label for host in others)} runs SENet Workbench "
            f"{others[0].version}, this cluster {version}: install the same version there."
        )
    states = ", ".join(
        f"{host.label} ({'up, but not in this cluster' if host.is_up else host.state})"
        for host in fitting
        if host not in others
    )
    return f"{states}. It starts when such a host joins (`senet hosts join`)."

"""A cluster on one machine: PostgreSQL, a head and hosts, each with a home of its own.

`python -m tests.support.cluster` (`make cluster-demo`) starts one, runs the built-in demo in it,
and shows on which host each job ran. Where the system allows it, each host has a view of the file
system of its own, in which the homes of all others are not there.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil

from engine.config import REPOSITORY
from tests.support.postgresql import Server, find_programs, running_server

HIDE = 'mount --bind "$1" "$2" && mount -t tmpfs none "$1/.." && mount -t tmpfs none "$3" && '
"""Of a shell in a mount namespace: the own folder appears elsewhere, all others disappear."""
PATIENCE_S = 60.0
HEAD = ("--slots", "0", "--label", "head")


def free_port() -> int:
    """A port of this machine that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Member:
    """A head or host: its folder, environment and process.

    It sees its folder as `seen_as`, and the others not at all, where the two differ.
    """

    folder: Path
    seen_as: Path
    environment: dict[str, str]
    command: list[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def start(self) -> None:
        """Starts the command `senet hosts`."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def family(self) -> list[psutil.Process]:
        """All processes of this member that run."""
        assert self.process is not None
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def kill(self) -> None:
        """Kills all its processes at once, as a loss of power does."""
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        assert self.process is not None
        self.process.wait()

    def stop(self) -> None:
        """Stops it, and all that it has started."""
        if self.process is None or self.process.poll() is not None:
            return
        family = self.family()
        self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


@dataclass
class Cluster:
    """A cluster that runs; `members` by name, the first is the head."""

    server: Server
    url: str
    folder: Path
    port: int
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    members: dict[str, Member] = field(default_factory=dict)

    def environment(self, folder: Path, url: str | None = None) -> dict[str, str]:
        """The variables of a member, or of a command that uses the cluster."""
        own = {
            "PYTHONPATH": str(REPOSITORY),
            "DATABASE_URL": url or self.url,
            "SENET_HOME": str(folder / "home"),
            "SENET_HOST_LOCK": str(folder / "host.lock"),
            "SENET_EXECUTOR": "ray",
            "SENET_STORE": f"file://{self.folder / 'store'}",
            "SENET_OFFLINE": "1",
            "SENET_PEAK": "0",
            "RAY_ADDRESS": f"127.0.0.1:{self.port}",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_TMPDIR": str(self.folder / "ray"),
            "HOME": str(folder),
        }
        return {**os.environ, **own}

    def add(self, name: str, *arguments: str, **variables: str) -> Member:
        """Starts `senet hosts ARGUMENTS` as a machine of its own."""
        folder, head = self.folder / "machines" / name, self.folder / "head"
        command = [sys.executable, "-m", "engine", "hosts", *arguments]
        if name == "head":
            folder = seen_as = head
        elif may_hide():
            seen_as = self.folder / "seen" / name
            seen_as.mkdir(parents=True)
            shell = ["unshare", "--mount", "sh", "-c", HIDE + 'shift 3 && exec "$@"', "sh"]
            command = [*shell, str(folder), str(seen_as), str(head), *command]
        else:
            seen_as = folder
        folder.mkdir(mode=0o700, parents=True)
        environment = {**self.environment(seen_as), **variables}
        self.members[name] = member = Member(folder, seen_as, environment, command)
        member.start()
        return member

    def join(self, name: str, **variables: str) -> Member:
        """Starts a host that runs jobs."""
        where = (f"127.0.0.1:{self.port}", "--ip", f"127.0.0.{1 + len(self.members)}")
        return self.add(name, "join", *where, "--label", name, **variables)


@cache
def may_hide() -> bool:
    """Whether this process may make mount namespaces."""
    test = ["unshare", "--mount", "true"]
    return os.geteuid() == 0 and subprocess.run(test, capture_output=True).returncode == 0


@contextmanager
def running_cluster(*names: str, **variables: str) -> Iterator[Cluster]:
    """A head without jobs, and hosts of these names."""
    programs = find_programs()
    assert programs is not None, "PostgreSQL is not installed"
    folder = Path(tempfile.mkdtemp(prefix="senet-c-"))
    with running_server(programs, free_port()) as server:
        cluster = Cluster(server, server.create("cluster"), folder, free_port())
        try:
            head = cluster.add("head", "head", *HEAD, "--port", str(cluster.port))
            wait_for_port(cluster.port, head)
            for name in names:
                cluster.join(name, **variables)
            yield cluster
        finally:
            for member in reversed(cluster.members.values()):
                member.stop()
            end_dispatchers(cluster)
    shutil.rmtree(folder, ignore_errors=True)


def end_dispatchers(cluster: Cluster) -> None:
    """Ends the dispatchers that the members have started, which run on their own."""
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error):
            if "engine.jobs.dispatcher" in " ".join(process.info["cmdline"] or ()) and (
                process.environ().get("DATABASE_URL") == cluster.url
            ):
                process.kill()


def wait_for_port(port: int, member: Member) -> None:
    """Waits until something listens at a port; fails with the log of the member."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert member.process is not None
        assert member.process.poll() is None, (member.folder / "log").read_text()
        time.sleep(0.1)
    raise AssertionError((member.folder / "log").read_text())


def main() -> None:
    """Runs the demo in a cluster of two hosts."""
    began = time.monotonic()
    with running_cluster("edge-a", "edge-b") as cluster:
        print(f"Starting PostgreSQL, the head and two hosts in {cluster.folder}.", flush=True)
        environment = cluster.environment(cluster.folder / "head")
        senet = [sys.executable, "-m", "engine"]

        def run(*arguments: str) -> int:
            return subprocess.call([*senet, *arguments], env=environment, cwd=REPOSITORY)

        status = run("demo", *sys.argv[1:])
        run("hosts", "list")
        run("jobs", "list")
        print(f"{time.monotonic() - began:.0f} s in all.")
        if status:
            for name, member in cluster.members.items():
                print(f"--- {name}\n{(member.folder / 'log').read_text()[-1500:]}")
            log = cluster.folder / "head" / "home" / "logs" / "dispatcher.log"
            print(log.read_text()[-3000:] if log.exists() else "")
        sys.exit(status)


if __name__ == "__main__":
    main()

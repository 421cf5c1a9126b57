"""A PostgreSQL server of its own for tests: in a temporary folder, reached by a socket alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine

USER, SYSTEM_USER = "senet", "postgres"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `folder` holds its data and its socket."""

    programs: Path
    folder: Path
    port: int | None = None
    """Also listens on 127.0.0.1 at this port."""

    def url(self, name: str, port: int | None = None) -> str:
        """The address of a database of this server: its socket, or a port of this machine."""
        where = f"127.0.0.1:{port}/{name}" if port else f"/{name}?host={self.folder}"
        return f"postgresql+psycopg://{USER}@{where}"

    def create(self, name: str, template: str = "template1") -> str:
        """Makes a database, a copy of `template`; returns its address."""
        engine = create_engine(self.url("postgres", self.port), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        engine.dispose()
        return self.url(name, self.port)

    def start(self) -> None:
        """Starts the server and waits until it answers; nothing is kept safe from a power cut."""
        listen = f"-h 127.0.0.1 -p {self.port}" if self.port else "-c listen_addresses=''"
        options = f"-k {self.folder} {listen} -c fsync=off"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stops the server: `fast` ends its connections, `immediate` is as a crash."""
        self._control("stop", "-m", mode)

    def _control(self, action: str, *options: str) -> None:
        data = str(self.folder / "data")
        _run(self.folder, self.programs / "pg_ctl", "-D", data, "-w", action, *options)


def find_programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@contextmanager
def running_server(programs: Path, port: int | None = None) -> Iterator[Server]:
    """A new, empty server; stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="senet-postgresql-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, SYSTEM_USER)
        initial = ("-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8", "--locale=C")
        _run(folder, programs / "initdb", "-D", str(folder / "data"), *initial)
        server = Server(programs, folder, port)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, program: Path, *arguments: str) -> None:
    """Runs one of PostgreSQL's programs, which refuse to run as root."""
    user = SYSTEM_USER if os.geteuid() == 0 else None
    with (folder / "commands.log").open("ab") as log:
        subprocess.run(
            [program, *arguments], cwd=folder, user=user, stdout=log, stderr=log, check=True
        )

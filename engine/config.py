"""Settings, read once from environment variables."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from engine.errors import InvalidRequest

PRIVATE, PRIVATE_FILE = 0o700, 0o600
"""File modes of the home and of its locks: no access for other users."""
REPOSITORY = Path(__file__).resolve().parent.parent
"""Folder of the packages: the checkout, also of an editable install; or site-packages."""


def data_root() -> Path:
    """Folder for files outside git: the checkout, or a user folder for an installed wheel."""
    if (REPOSITORY / "pyproject.toml").is_file():
        return REPOSITORY
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "senet"


def usable_cores() -> int:
    """Cores this process may use, by its affinity and the container's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, _cgroup_quota() or 10_000))


def _cgroup_quota() -> int | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))


def temporary_folder() -> Path:
    """The system's temporary folder, even if it is full: all processes must agree on it."""
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return Path(next(filter(None, named), "/tmp"))  # noqa: S108 (for a lock, opened with care)


class Settings(BaseSettings):
    """Settings of a machine; each field is set by the variable SENET_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="SENET_", frozen=True, populate_by_name=True)

    home: Path = Field(
        default_factory=lambda: data_root() / "var", description="Folder of all data."
    )
    database_url: str = Field(
        "", validation_alias="DATABASE_URL", description="Database URL; default: <home>/senet.db."
    )
    executor: Literal["local", "ray"] = Field(
        "local", description="Where jobs run: on this machine, or on the hosts of a Ray cluster."
    )
    ray_address: str = Field(
        "127.0.0.1:6379",
        validation_alias="RAY_ADDRESS",
        description="Head of the Ray cluster, with SENET_EXECUTOR=ray.",
    )
    slots: int = Field(2, ge=1, le=64, description="Jobs that may run at once on this machine.")
    threads: int = Field(default_factory=usable_cores, ge=1, description="Threads of one job.")
    lease_s: float = Field(
        30.0, gt=1, description="A job without a sign of life for so long is lost."
    )
    idle_s: float = Field(
        60.0, gt=0, description="The dispatcher exits after so long without jobs."
    )
    cache_gb: float = Field(
        20.0, ge=0, description="Max disk space for prepared images (GB); 0: none."
    )
    store: str = Field(
        "",
        description="Store that several homes share: file:///folder or s3://bucket/prefix; none: "
        "the home.",
    )
    store_cache_gb: float = Field(
        100.0, gt=0, description="With a store: max disk space of its files in the home (GB)."
    )
    peak: bool = Field(
        True, description="Measure the peak GMAC/s of the machine once, after its first benchmark."
    )
    offline: bool = Field(False, description="Never use the network; report what is missing.")
    data_roots: str = Field(
        "",
        description="With a login, users give paths in these folders only, separated by ':'; none: "
        "uploads only.",
    )
    paddle_python: Path = Field(
        default_factory=lambda: data_root() / ".venv-paddle" / "bin" / "python",
        description="Python of the environment that runs paddle2onnx.",
    )
    host_lock: Path = Field(
        default_factory=lambda: temporary_folder() / "senet-workbench.host.lock",
        description="Lock file of the machine: exclusive for benchmarks, shared by other jobs.",
    )

    @property
    def url(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.home / 'senet.db'}"

    @property
    def data_root_folders(self) -> tuple[Path, ...]:
        """The folders of `data_roots`, with ~ and links resolved."""
        names = filter(None, self.data_roots.split(os.pathsep))
        return tuple(Path(name).expanduser().resolve() for name in names)

    def folder(self, name: str) -> Path:
        """A folder of the home (artifacts, weights, datasets, results, logs); created if needed."""
        self.home.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        return path


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. Raises InvalidRequest, naming the variable that is wrong."""
    try:
        values = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"SENET_{str(first['loc'][0]).upper()}"
        raise InvalidRequest(f"{name}: {first['msg']} (given: {first['input']!r}).") from error
    except SettingsError as error:
        raise InvalidRequest(f"The variables SENET_… cannot be read: {error}.") from error
    return values.model_copy(
        update={
            "home": values.home.expanduser().resolve(),
            "host_lock": values.host_lock.expanduser().absolute(),
            "database_url": _absolute_url(values.database_url),
        }
    )


def child_command(module: str, *arguments: str) -> list[str]:
    """Command line of a module of this project, not searched in the current folder (-P)."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment() -> dict[str, str]:
    """Environment of a child process with these settings and modules, in any folder."""
    here = settings()
    own = {"SENET_HOME": str(here.home), "SENET_HOST_LOCK": str(here.host_lock)}
    if here.database_url:
        own["DATABASE_URL"] = here.database_url
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, **own, "PYTHONPATH": path}


def _absolute_url(url: str) -> str:
    """The URL with an absolute path: dispatcher and jobs have another working directory."""
    try:
        parsed = make_url(url) if url else None
    except (ArgumentError, ValueError):
        return url  # reported by the code that opens the database
    if parsed is None or parsed.get_backend_name() != "sqlite" or not parsed.database:
        return url
    if parsed.database == ":memory:" or parsed.database.startswith("file:"):
        return url
    path = Path(parsed.database).expanduser().resolve()
    return parsed.set(database=str(path)).render_as_string(hide_password=False)

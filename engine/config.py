"""Settings, read once from the environment into one frozen object."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from engine.errors import InvalidRequest

PRIVATE, PRIVATE_FILE = 0o700, 0o600
"""Modes of the home and of its locks: other users of the machine have no business in it."""
REPOSITORY = Path(__file__).resolve().parent.parent
"""Where the packages are: the checkout, also of an editable install; or site-packages."""


def data_root() -> Path:
    """The folder of what is not in git: the checkout, or one of the user for an installed wheel."""
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
    """As the system has it, though it be full: two processes must find the same one."""
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return Path(next(filter(None, named), "/tmp"))  # noqa: S108 (for a lock, opened with care)


class Settings(BaseSettings):
    """What may differ between machines; each field is the variable SENET_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="SENET_", frozen=True, populate_by_name=True)

    home: Path = Field(
        default_factory=lambda: data_root() / "var", description="Folder of all data."
    )
    database_url: str = Field(
        "", validation_alias="DATABASE_URL", description="Another database than <home>/senet.db."
    )
    slots: int = Field(2, ge=1, le=64, description="Jobs that may run at once on this machine.")
    threads: int = Field(default_factory=usable_cores, ge=1, description="Threads of one job.")
    lease_s: float = Field(30.0, gt=1, description="Silence after which a running job is lost.")
    idle_s: float = Field(60.0, gt=0, description="The dispatcher leaves after so long idle.")
    cache_gb: float = Field(
        20.0, ge=0, description="Most disk space for prepared images, in GB; 0 keeps none."
    )
    peak: bool = Field(
        True, description="Measure what the machine can do at most, once, after a first benchmark."
    )
    offline: bool = Field(False, description="Never reach for the network, say what is missing.")
    paddle_python: Path = Field(
        default_factory=lambda: data_root() / ".venv-paddle" / "bin" / "python",
        description="Python of the environment that runs paddle2onnx.",
    )
    host_lock: Path = Field(
        default_factory=lambda: temporary_folder() / "senet-workbench.host.lock",
        description="Held alone by a benchmark, shared by every other job of this machine.",
    )

    @property
    def url(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.home / 'senet.db'}"

    def folder(self, name: str) -> Path:
        """A folder under home, made if missing: artifacts, weights, datasets, results, logs."""
        self.home.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        return path


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. Raises InvalidRequest, naming the variable that is wrong."""
    try:
        found = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"SENET_{str(first['loc'][0]).upper()}"
        raise InvalidRequest(f"{name}: {first['msg']} (given: {first['input']!r}).") from error
    except SettingsError as error:
        raise InvalidRequest(f"The variables SENET_… cannot be read: {error}.") from error
    return found.model_copy(
        update={
            "home": found.home.expanduser().resolve(),
            "host_lock": found.host_lock.expanduser().absolute(),
            "database_url": _absolute_url(found.database_url),
        }
    )


def _absolute_url(url: str) -> str:
    """The dispatcher and its jobs run in another folder than the command that starts them."""
    try:
        parsed = make_url(url) if url else None
    except (ArgumentError, ValueError):
        return url  # refused, with a sentence, by whoever opens the database
    if parsed is None or parsed.get_backend_name() != "sqlite" or not parsed.database:
        return url
    if parsed.database == ":memory:" or parsed.database.startswith("file:"):
        return url
    path = Path(parsed.database).expanduser().resolve()
    return parsed.set(database=str(path)).render_as_string(hide_password=False)

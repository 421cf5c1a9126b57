"""Settings, read once from the environment into one frozen object."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent


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


class Settings(BaseSettings):
    """What may differ between machines; each field is the variable SENET_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="SENET_", frozen=True, populate_by_name=True)

    home: Path = Field(REPOSITORY / "var", description="Folder of all data.")
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
        REPOSITORY / ".venv-paddle" / "bin" / "python",
        description="Python of the environment that runs paddle2onnx.",
    )
    host_lock: Path = Field(
        Path(tempfile.gettempdir()) / "senet-workbench.host.lock",
        description="Held alone by a benchmark, shared by every other job of this machine.",
    )

    @property
    def url(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.home / 'senet.db'}"

    def folder(self, name: str) -> Path:
        """A folder under home, made if missing: artifacts, weights, datasets, results, logs."""
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        return path


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    found = Settings()
    return found.model_copy(update={"home": found.home.expanduser().resolve()})

"""Homes of their own for tests: the variables that make one, and copies of a migrated one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from db.session import connect
from engine.config import settings
from engine.hosts import ownership
from engine.hosts.home import new_identity as new_identity


@contextmanager
def own_home(folder: Path, patch: pytest.MonkeyPatch | None = None) -> Iterator[Path]:
    """SENET_HOME in `folder`, the host lock beside it, and settings that are read anew."""
    with pytest.MonkeyPatch.context() as own:
        patch = patch or own
        patch.setenv("SENET_HOME", str(folder))
        patch.setenv("SENET_HOST_LOCK", str(folder.with_name("host.lock")))
        patch.setenv("SENET_OFFLINE", "1")
        patch.setenv("SENET_IDLE_S", "5")
        patch.setenv("SENET_PEAK", "0")
        patch.delenv("DATABASE_URL", raising=False)
        settings.cache_clear()
        try:
            yield folder
        finally:
            connect(settings().url).dispose()  # the last connection empties the write-ahead log
            settings.cache_clear()
            connect.cache_clear()


def copy_of(template: Path, home: Path) -> str:
    """Copies a migrated home to the one of the settings; returns the URL of its database."""
    shutil.copytree(template, home, dirs_exist_ok=True)
    ownership.claim(new_identity(), settings().url)
    return settings().url

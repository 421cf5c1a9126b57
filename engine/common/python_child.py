"""Modules of ours as processes of their own, which find our packages whatever the folder."""

from __future__ import annotations

import os
import sys

from engine.config import REPOSITORY


def command(module: str, *arguments: str) -> list[str]:
    """The call of a module of ours; the current folder is not searched for it (-P)."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with `variables`, and our packages on the path."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **variables}

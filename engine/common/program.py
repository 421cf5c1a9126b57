"""The name by which this program is called, for every text that tells what to type."""

from __future__ import annotations

import shutil
import sys
from functools import cache
from pathlib import Path

SCRIPT = "senet"
MODULE = "python -m engine"
"""Works in every environment with the requirements, from the repository's folder."""


@cache
def program() -> str:
    """`senet` or `python -m engine`: as it was called, otherwise `senet` where it is installed."""
    called = Path(sys.argv[0])
    if called.parts[-2:] == ("engine", "__main__.py"):
        return MODULE
    if called.stem == SCRIPT or shutil.which(SCRIPT, path=Path(sys.executable).parent):
        return SCRIPT
    return MODULE

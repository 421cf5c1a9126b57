"""Packages of runtimes: whether they are installed and in which version, without importing them."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version


@lru_cache(maxsize=32)
def version_of(*packages: str) -> str | None:
    """Version of the first of these packages that is installed; None where none is.

    Read once: a process that has a package loaded keeps that version.
    """
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None

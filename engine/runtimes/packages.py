"""Packages of runtimes: whether they are installed and in which version, without importing them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def version_of(*packages: str) -> str | None:
    """Version of the first of these packages that is installed; None where none is."""
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None

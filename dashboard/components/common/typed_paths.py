"""Paths that a user types: with a login, only those in the folders that the operator allows."""

from __future__ import annotations

from dashboard.components.common import login
from engine.common.files import expand_user
from engine.config import settings
from engine.errors import InvalidRequest


def require_allowed(path: str) -> str:
    """The path. Raises InvalidRequest where a user who logged in may not read it.

    Without a login the workbench is of one person, who may read what the process may. Uploads and
    what lies in SENET_DATA_ROOTS are always allowed; links are followed before it is decided.
    """
    if not login.is_configured():
        return path
    roots = settings().data_root_folders
    try:
        resolved = expand_user(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidRequest(f"{path} is not a path: enter another one.") from error
    allowed = (*roots, settings().home / "uploads")
    if any(resolved.is_relative_to(root) for root in allowed):
        return path
    where = f"only {', '.join(map(str, roots))} may be read" if roots else "none may be read"
    raise InvalidRequest(
        f"{path} may not be read: with a login, {where} by path (SENET_DATA_ROOTS). Upload the "
        f"file instead."
    )


def is_allowed(path: str) -> bool:
    """Whether a typed path may be read."""
    try:
        require_allowed(path)
    except InvalidRequest:
        return False
    return True

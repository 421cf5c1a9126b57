"""The home: the folder of all data, private to its user, with an identity of its own.

The identity is kept in a file of the folder: it moves with it, and knows nothing of the names of
hosts and containers. Beside it stand the databases that the home has used, so that one that is
deleted is missed.
"""

from __future__ import annotations

import json
import os
import stat
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sqlalchemy import make_url

from db.session import sqlite_file
from engine.common.files import write_text
from engine.common.program import program
from engine.config import PRIVATE, PRIVATE_FILE, settings
from engine.errors import HomeUnusable

FILE = "home.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a home is, and the databases it has used (as `name_of`)."""

    identity: str
    databases: tuple[str, ...] = ()

    def with_database(self, name: str) -> Identity:
        """Has used one more."""
        return replace(self, databases=tuple(dict.fromkeys((*self.databases, name))))

    def without_database(self, name: str) -> Identity:
        """Has never used it."""
        return replace(self, databases=tuple(one for one in self.databases if one != name))


def prepare() -> Path:
    """Makes the home where there is none, and keeps other users out of it. Raises HomeUnusable."""
    folder = settings().home
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise HomeUnusable(
            f"The home {folder} cannot be made: it, or a folder above it, is a file. Set "
            f"SENET_HOME to another folder."
        ) from error
    with suppress(OSError):  # of another user, or read-only: what needs more fails for itself
        _keep_private(folder)
    return folder


def _keep_private(folder: Path) -> None:
    found = folder.stat()
    shared = found.st_mode & stat.S_ISVTX or folder in (Path.home(), Path(folder.anchor))
    if found.st_uid != os.geteuid() or shared:
        return
    if stat.S_IMODE(found.st_mode) != PRIVATE:
        folder.chmod(PRIVATE)
    for lock in folder.glob("*.lock"):
        if stat.S_IMODE(lock.stat().st_mode) != PRIVATE_FILE:
            lock.chmod(PRIVATE_FILE)


def load(folder: Path | None = None) -> Identity | None:
    """What a home's file says (this home's, or that of another folder); None where none is kept.

    Raises HomeUnusable when the file is damaged.
    """
    path = (folder or settings().home) / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Identity(str(uuid.UUID(found["identity"])), tuple(map(str, found["databases"])))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HomeUnusable(
            f"{path} is damaged, which says who this home is. Put it back from a backup; or delete "
            f"it, and `{program()} home take-over` makes the database this home's again."
        ) from error


def new() -> Identity:
    """Another one than all others; not written yet."""
    return Identity(str(uuid.uuid4()))


def save(known: Identity) -> None:
    """Writes the file of this home, whole."""
    path = settings().home / FILE
    write_text(path, json.dumps(asdict(known), indent=1))
    path.chmod(PRIVATE_FILE)


def name_of(url: str) -> str:
    """A database as the home's file names it: without a password, a file inside it relatively."""
    file = sqlite_file(url)
    if file is not None:
        return str(file.relative_to(settings().home) if is_inside(url) else file)
    return make_url(url).set(password=None, query={}).render_as_string()


def is_inside(url: str) -> bool:
    """Whether the database is a file in this home: it moves, and is copied, with it."""
    file = sqlite_file(url)
    return file is not None and file.is_relative_to(settings().home)

"""The home: the folder of all data, private to its user, with an identity of its own.

`home.json` in the folder holds the identity, which therefore does not depend on the name of the
host or container. It also lists the databases that the home has used, so that a deleted database
is noticed.
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
class HomeIdentity:
    """The id of a home, and the databases it has used (named as by `name_of`)."""

    identity: str
    databases: tuple[str, ...] = ()

    def with_database(self, name: str) -> HomeIdentity:
        """A copy that also lists this database."""
        return replace(self, databases=tuple(dict.fromkeys((*self.databases, name))))

    def without_database(self, name: str) -> HomeIdentity:
        """A copy that no longer lists this database."""
        return replace(self, databases=tuple(used for used in self.databases if used != name))


def prepare() -> Path:
    """Creates the home if needed, readable by its user only. Raises HomeUnusable."""
    folder = settings().home
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise HomeUnusable(
            f"The home {folder} cannot be created: it, or a folder above it, is a file. Set "
            f"SENET_HOME to another folder."
        ) from error
    with suppress(OSError):  # another user's or read-only; later writes report their own error
        _keep_private(folder)
    return folder


def _keep_private(folder: Path) -> None:
    status = folder.stat()
    shared = status.st_mode & stat.S_ISVTX or folder in (Path.home(), Path(folder.anchor))
    if status.st_uid != os.geteuid() or shared:
        return
    if stat.S_IMODE(status.st_mode) != PRIVATE:
        folder.chmod(PRIVATE)
    for lock in folder.glob("*.lock"):
        if stat.S_IMODE(lock.stat().st_mode) != PRIVATE_FILE:
            lock.chmod(PRIVATE_FILE)


def load(folder: Path | None = None) -> HomeIdentity | None:
    """Reads home.json of this home, or of another folder; None if there is none.

    Raises HomeUnusable when the file is damaged.
    """
    path = (folder or settings().home) / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return HomeIdentity(
            str(uuid.UUID(content["identity"])), tuple(map(str, content["databases"]))
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HomeUnusable(
            f"{path}, which holds the identity of this home, is damaged. Restore it from a backup; "
            f"or delete it and run `{program()} home take-over`."
        ) from error


def new_identity() -> HomeIdentity:
    """A new, unique identity; not written to disk yet."""
    return HomeIdentity(str(uuid.uuid4()))


def save(identity: HomeIdentity) -> None:
    """Writes home.json of this home."""
    path = settings().home / FILE
    write_text(path, json.dumps(asdict(identity), indent=1))
    path.chmod(PRIVATE_FILE)


def name_of(url: str) -> str:
    """A database's name in home.json: without password, relative to the home if inside it."""
    file = sqlite_file(url)
    if file is not None:
        return str(file.relative_to(settings().home) if is_inside(url) else file)
    return make_url(url).set(password=None, query={}).render_as_string()


def is_inside(url: str) -> bool:
    """Whether the database is a file inside this home, and so moves and is copied with it."""
    file = sqlite_file(url)
    return file is not None and file.is_relative_to(settings().home)

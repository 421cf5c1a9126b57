"""Ownership of a database: exactly one home, whose dispatcher runs the jobs in it.

Two homes on one database would claim each other's jobs and fail those whose files are in the other
home, so the second home is refused. The hosts of a cluster share one database: each has a home of
its own, and the owner is the first.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

from sqlalchemy import func, inspect, select

from db.clock import utc_epoch
from db.enums import JobStatus
from db.models import Home, Job
from db.session import DatabaseGone, is_missing, reading, sqlite_file, writing
from engine.common.database_url import database_label
from engine.common.program import program
from engine.config import settings
from engine.errors import DatabaseUnusable, HomeUnusable
from engine.hosts import home
from engine.hosts.home import HomeIdentity


def owner_of(url: str) -> Home | None:
    """The home that owns a database; None if no home has claimed it."""
    if is_missing(url):
        return None
    with reading(url) as session:
        if not inspect(session.connection()).has_table(Home.__tablename__):
            return None
        return session.get(Home, 1)


def is_shared(url: str) -> bool:
    """Whether the homes of a cluster share the database.

    Raises DatabaseUnusable where it is a file, which one machine alone can use.
    """
    if settings().executor != "ray":
        return False
    if sqlite_file(url) is not None:
        raise DatabaseUnusable(
            f"SENET_EXECUTOR=ray needs a database that all hosts reach, and {database_label(url)} "
            f"is a file of this machine. Set DATABASE_URL=postgresql+psycopg://user@host/name."
        )
    return True


def is_foreign(owner: Home | None, identity: HomeIdentity | None, url: str) -> bool:
    """Whether another home owns the database, judged by identity; a copy of the owner counts too.

    A home that was moved, or whose host was renamed, keeps its identity. A database inside a home
    is copied together with the home, so the copy owns its own database.
    """
    if owner is None or is_shared(url):
        return False
    if identity is None:
        return not home.is_inside(url)
    if owner.identity != identity.identity:
        return True
    return not home.is_inside(url) and _is_copy_of(Path(owner.folder), identity)


def _is_copy_of(folder: Path, identity: HomeIdentity) -> bool:
    try:
        there = home.load(folder)
        same = there is not None and there.identity == identity.identity
        return same and not folder.samefile(settings().home)
    except (OSError, HomeUnusable):
        return False


def refuse_foreign(owner: Home | None, identity: HomeIdentity | None, url: str) -> None:
    """Raises DatabaseUnusable, with the ways out, if another home owns the database."""
    if owner is None or not is_foreign(owner, identity, url):
        return
    copied = identity is not None and owner.identity == identity.identity
    raise DatabaseUnusable(
        f"{database_label(url)} belongs to the home {owner.folder} of the machine {owner.host}"
        + (", of which this home is a copy" if copied else "")
        + f"; this home is {settings().home}. Two homes cannot share one database. Use that home "
        f"(SENET_HOME={owner.folder}), or set DATABASE_URL to another database; if that home is no "
        f"longer used, `{program()} home take-over` makes this home the owner."
    )


def require_ownership(url: str) -> str:
    """The identity of this home if it owns the database.

    Raises DatabaseUnusable if it does not, DatabaseGone if the file is missing.
    """
    if is_missing(url):
        raise DatabaseGone(sqlite_file(url))
    identity, owner = home.load(), owner_of(url)
    refuse_foreign(owner, identity, url)
    if identity is None or owner is None:
        raise DatabaseUnusable(
            f"{database_label(url)} has no owner yet; `python -m engine.store.database` makes this "
            "home its owner."
        )
    return identity.identity


def identity_for(owner: Home | None, url: str) -> HomeIdentity:
    """This home's identity; a new one if the home has none.

    A database that was restored into a new home without home.json brings the owner's identity.
    """
    identity = home.load() or home.new_identity()
    if owner is not None and home.load() is None and home.is_inside(url):
        return replace(identity, identity=owner.identity)
    return identity


def claim(identity: HomeIdentity, url: str) -> None:
    """Records the ownership in the database and in home.json."""
    folder = str(settings().home)
    home.save(identity.with_database(home.name_of(url)))
    if is_shared(url) and owner_of(url) is not None:
        return
    with writing(url) as session:
        session.merge(
            Home(id=1, identity=identity.identity, folder=folder, host=socket.gethostname())
        )


def take_over(url: str) -> Home | None:
    """Makes this home the owner of the database; returns the previous owner, or None.

    Raises DatabaseUnusable while a job of the other home runs.
    """
    owner = owner_of(url)
    identity = identity_for(owner, url)
    if owner is None or not is_foreign(owner, home.load(), url):
        claim(identity, url)
        return None
    is_running = Job.status == JobStatus.RUNNING, Job.lease_until > utc_epoch()
    with reading(url) as session:
        running = session.scalar(select(func.count()).select_from(Job).where(*is_running))
    if running:
        raise DatabaseUnusable(
            f"{running} jobs of the home {owner.folder} are running: cancel them, or wait until "
            f"they have ended."
        )
    if owner.identity == identity.identity:
        identity = replace(
            home.new_identity(), databases=identity.databases
        )  # from here on it is a home of its own
    claim(identity, url)
    return owner

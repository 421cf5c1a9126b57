"""Whose a database is: one home's, whose dispatcher alone runs the jobs in it.

Two homes on one database would take each other's running jobs, and fail those whose files lie in
the other one. Until work on more than one machine is a feature, the second one is refused.
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
from engine.common.database_url import told
from engine.common.program import program
from engine.config import settings
from engine.errors import DatabaseUnusable, HomeUnusable
from engine.hosts import home
from engine.hosts.home import Identity


def owner_of(url: str) -> Home | None:
    """The home that a database belongs to; None where none has claimed it."""
    if is_missing(url):
        return None
    with reading(url) as session:
        if not inspect(session.connection()).has_table(Home.__tablename__):
            return None
        return session.get(Home, 1)


def is_foreign(owner: Home | None, known: Identity | None, url: str) -> bool:
    """Whether another home owns the database: by its identity, or as what this one is a copy of.

    A home that has moved, or whose host has another name now, is still the same one; a database
    that lies in a home is copied with it, and so is another one.
    """
    if owner is None:
        return False
    if known is None:
        return not home.is_inside(url)
    if owner.identity != known.identity:
        return True
    return not home.is_inside(url) and _is_copy_of(Path(owner.folder), known)


def _is_copy_of(folder: Path, known: Identity) -> bool:
    try:
        there = home.load(folder)
        same = there is not None and there.identity == known.identity
        return same and not folder.samefile(settings().home)
    except (OSError, HomeUnusable):
        return False


def refuse_foreign(owner: Home | None, known: Identity | None, url: str) -> None:
    """Raises DatabaseUnusable, with the ways out, where another home owns the database."""
    if owner is None or not is_foreign(owner, known, url):
        return
    copied = known is not None and owner.identity == known.identity
    raise DatabaseUnusable(
        f"{told(url)} belongs to the home {owner.folder} of the machine {owner.host}"
        + (", of which this home is a copy" if copied else "")
        + f"; this home is {settings().home}. Two homes on one database would take each other's "
        f"jobs, and work on more than one machine is no feature yet. Use that home "
        f"(SENET_HOME={owner.folder}), or give this one a database of its own (DATABASE_URL); if "
        f"that home is given up, `{program()} home take-over` makes the database this one's."
    )


def require_own(url: str) -> str:
    """The identity of this home, which owns the database. Raises DatabaseUnusable, DatabaseGone."""
    if is_missing(url):
        raise DatabaseGone(sqlite_file(url))
    known, owner = home.load(), owner_of(url)
    refuse_foreign(owner, known, url)
    if known is None or owner is None:
        raise DatabaseUnusable(
            f"{told(url)} belongs to no home yet; "
            "`python -m engine.store.database` makes it this one's."
        )
    return known.identity


def known_to(owner: Home | None, url: str) -> Identity:
    """This home's identity; a new one where none is kept.

    A database that was put back into a new home, without the file beside it, brings its own.
    """
    known = home.load() or home.new()
    if owner is not None and home.load() is None and home.is_inside(url):
        return replace(known, identity=owner.identity)
    return known


def claim(known: Identity, url: str) -> None:
    """Writes into database and home that they belong together."""
    folder = str(settings().home)
    home.save(known.with_database(home.name_of(url)))
    with writing(url) as session:
        session.merge(Home(id=1, identity=known.identity, folder=folder, host=socket.gethostname()))


def take_over(url: str) -> Home | None:
    """Makes the database this home's own; returns whose it was, None where it was nobody else's.

    Raises DatabaseUnusable while a job of the other home runs.
    """
    owner = owner_of(url)
    known = known_to(owner, url)
    if owner is None or not is_foreign(owner, home.load(), url):
        claim(known, url)
        return None
    now = Job.status == JobStatus.RUNNING, Job.lease_until > utc_epoch()
    with reading(url) as session:
        running = session.scalar(select(func.count()).select_from(Job).where(*now))
    if running:
        raise DatabaseUnusable(
            f"Jobs of the home {owner.folder} run at this moment ({running}): cancel them, or wait "
            f"until they have ended."
        )
    if owner.identity == known.identity:
        known = replace(home.new(), databases=known.databases)  # it is no copy any longer
    claim(known, url)
    return owner

"""Files of the home in the shared store: uploaded once written, fetched when absent, verified.

In the store a file of the home is `<its path in the home>/<SHA-256 of its content>`, an artifact
`artifacts/<digest>/` with its files and, written last, `files.json` with their digests. Both
digests are verified on arrival, under a temporary name; a damaged file is set aside and not used.
Without SENET_STORE all functions find what is in the home, and write nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from engine.common.digests import data_digest, file_digest
from engine.config import PRIVATE_FILE, settings
from engine.errors import StorageFull, StoreDamaged, StoreUnavailable
from engine.store.objects import ObjectStore, StoredFile, shared_store

FILES = "files.json"
LISTED_S = 5.0
_DIGEST = re.compile("[0-9a-f]{64}")


def publish(path: Path, name: str | None = None) -> bool:
    """Uploads a file of the home, unless the store has it; `name`: in the store, its path if None.

    Whether it was uploaded. Raises StoreUnavailable and StorageFull.
    """
    store = shared_store()
    if store is not None:
        target = f"{name or _name_of(path)}/{file_digest(path)}"
        if not store.exists(target):
            store.put(path, target)
            return True
    return False


def publish_result(path: Path) -> None:
    """As `publish` for a result: where the store fails, the file stays in this home only.

    It is then reported, and `store push` uploads it later.
    """
    try:
        publish(path)
    except (StoreUnavailable, StorageFull) as error:
        report(f"{path.name} is in this home only until `store push`. {error}")


def fetch(path: Path, name: str | None = None) -> bool:
    """Whether a file of the home exists, after fetching it from the store if it was absent.

    Raises StoreDamaged, StoreUnavailable and StorageFull.
    """
    if path.is_file():
        _touch(path)
        return True
    store = shared_store()
    if store is None:
        return False
    versions = [one for one in store.files(name or _name_of(path)) if _is_version(one)]
    if not versions:
        return False
    newest = max(versions, key=lambda one: one.modified)
    with _arriving(path) as part:
        if path.is_file():  # fetched meanwhile by another process
            return True
        if not store.get(newest.name, part):
            return False
        verify(store, newest.name, part, newest.name.rpartition("/")[2])
        part.replace(path)
    return True


def newest_versions(folder: str) -> set[str]:
    """Names, in a folder of the store, of the files that are complete there."""
    store = shared_store()
    found = store.files(folder) if store is not None else []
    return {one.name.split("/")[-2] for one in found if _is_version(one)}


def fetch_all(folder: Path) -> None:
    """Fetches the absent files of a folder of the home. Raises as `fetch`."""
    for name in newest_versions(_name_of(folder)):
        fetch(folder / name)


@dataclass(frozen=True, slots=True)
class Pushed:
    """How many files and artifacts the home has, and what of them was uploaded."""

    files: int
    uploaded: int
    uploaded_bytes: int


def push_home() -> Pushed:
    """Uploads all artifacts, results and indices of datasets of the home that the store lacks."""
    home = settings().home
    folders = [path for path in (home / "artifacts").glob("*") if _DIGEST.fullmatch(path.name)]
    indices = [p for p in (home / "datasets").glob("*.json") if _DIGEST.fullmatch(p.stem)]
    results = [p for p in (home / "results").rglob("*") if p.suffix in (".npz", ".json")]
    sent = [path for path in folders if publish_artifact(path)]
    sent += [path for path in (*indices, *results) if publish(path)]
    files = [one for path in sent for one in (path.iterdir() if path.is_dir() else [path])]
    total = len(folders) + len(indices) + len(results)
    return Pushed(total, len(sent), sum(one.stat().st_size for one in files))


def publish_artifact(folder: Path) -> bool:
    """Uploads the folder of an artifact, which is named by its digest, unless the store has it.

    Whether it was uploaded.
    """
    store = shared_store()
    name = f"artifacts/{folder.name}"
    if store is None or store.exists(f"{name}/{FILES}"):
        return False
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:
        store.put(path, f"{name}/{path.name}")
    digests = {path.name: file_digest(path) for path in files}
    store.put_text(f"{name}/{FILES}", json.dumps(digests, indent=1))
    return True


def fetch_artifact(folder: Path) -> bool:
    """Whether the folder of an artifact exists, after fetching it if it was absent.

    Raises StoreDamaged, StoreUnavailable and StorageFull.
    """
    if folder.is_dir():
        _touch(folder)
        return True
    store = shared_store()
    if store is None or not _DIGEST.fullmatch(folder.name):
        return False
    name = f"artifacts/{folder.name}"
    listed = store.read_text(f"{name}/{FILES}")
    if listed is None:
        return False
    digests = _digests_in(store, f"{name}/{FILES}", listed, folder.name)
    with _arriving(folder) as part:
        if folder.is_dir():  # fetched meanwhile by another process
            return True
        part.mkdir()
        for file, digest in digests.items():
            if not store.get(f"{name}/{file}", part / file):
                store.set_aside(f"{name}/{FILES}")  # an upload begins again
                raise _damaged(store, f"{name}/{file}", "is missing")
            try:
                verify(store, f"{name}/{file}", part / file, digest)
            except StoreDamaged:
                store.set_aside(f"{name}/{FILES}")
                raise
        part.rename(folder)
    return True


def has_artifact(folder: Path) -> bool:
    """Whether an artifact is here or in the store; it is not fetched.

    A store that cannot be read has none.
    """
    if folder.is_dir():
        return True
    with suppress(StoreUnavailable):
        return folder.name in _stored_artifacts(settings().store, int(time.time() / LISTED_S))
    return False


@lru_cache(maxsize=1)
def _stored_artifacts(url: str, period: int) -> frozenset[str]:
    """Digests of the complete artifacts of the store, listed once in a period of LISTED_S."""
    store = shared_store()
    found = store.files("artifacts") if store is not None else []
    return frozenset(one.name.split("/")[1] for one in found if one.name.endswith(f"/{FILES}"))


def remove(name: str) -> None:
    """Removes a file or folder of the home from the store; a store that fails keeps it."""
    try:
        store = shared_store()
        if store is not None:
            store.remove(name)
    except StoreUnavailable as error:
        report(str(error))


def verify(store: ObjectStore, name: str, part: Path, digest: str) -> None:
    """Raises StoreDamaged, after setting the file aside, unless it has the digest."""
    if file_digest(part) != digest:
        aside = store.set_aside(name)
        raise _damaged(store, name, f"was moved to {aside}")


def report(sentence: str) -> None:
    """Prints a sentence to the log of the job, or to the terminal."""
    with suppress(OSError):
        print(sentence, file=sys.stderr, flush=True)


def _damaged(store: ObjectStore, name: str, what: str) -> StoreDamaged:
    return StoreDamaged(
        f"{name} in the store {store.url} is damaged: it does not have the content that its "
        f"digest says, {what} and is not used. Run `store push` on a machine that has it, or "
        f"compute it again."
    )


def _digests_in(store: ObjectStore, name: str, listed: str, digest: str) -> dict[str, str]:
    """The digests of an artifact's files, which together must have the artifact's digest."""
    with suppress(ValueError):
        found = json.loads(listed)
        if isinstance(found, dict) and data_digest(found) == digest:
            return found
    aside = store.set_aside(name)
    raise _damaged(store, name, f"was moved to {aside}")


@contextmanager
def _arriving(target: Path) -> Iterator[Path]:
    """A temporary path in the home for what is fetched; one process at a time fetches a target."""
    key = data_digest(str(target))[:16]
    lock = settings().folder("cache") / f"fetch-{key}.lock"
    with FileLock(lock, mode=PRIVATE_FILE):
        part = settings().folder("tmp") / f"fetch-{key}.{os.getpid()}.part"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield part
        finally:
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            part.unlink(missing_ok=True)


def _touch(path: Path) -> None:
    """Marks the time of use, by which the cache removes the least recently used."""
    if settings().store:
        with suppress(OSError):
            os.utime(path)


def _name_of(path: Path) -> str:
    return path.relative_to(settings().home).as_posix()


def _is_version(file: StoredFile) -> bool:
    return _DIGEST.fullmatch(file.name.rpartition("/")[2]) is not None

"""The files of a shared store, by fsspec: a folder that several machines mount, or S3.

A file appears when it is complete: S3 makes it visible at the end of the upload, in a folder it
is written under a temporary name and renamed.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.common.error_sentences import FULL
from engine.common.files import disk_full_as_error
from engine.config import settings
from engine.errors import StorageFull, StoreUnavailable
from engine.text import quoted

PART = ".part"
ASIDE = "damaged"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of the store: its name, size in bytes, and time of writing (s since 1970)."""

    name: str
    size: int
    modified: float


class ObjectStore:
    """Files of one store by their names, which are relative paths with `/`.

    All methods raise StoreUnavailable where the store cannot be reached.
    """

    def __init__(self, url: str) -> None:
        """Raises StoreUnavailable for a URL that is no store, or where its library is missing."""
        self.url = url.rstrip("/")
        self.is_folder, self._fs, self._root = _open(self.url)

    def put(self, source: Path, name: str) -> None:
        """Copies a local file into the store, under a name that appears when it is complete."""
        self._write(name, lambda target: self._fs.put_file(str(source), target))

    def put_text(self, name: str, text: str) -> None:
        """Writes a small text file."""
        self._write(name, lambda target: self._fs.pipe_file(target, text.encode()))

    def _write(self, name: str, write: Any) -> None:
        target = self._path(name)
        with self._writing(name):
            if not self.is_folder:
                write(target)
                return
            part = f"{target}.{uuid.uuid4().hex}{PART}"
            self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            try:
                write(part)
                Path(part).replace(target)
            finally:
                Path(part).unlink(missing_ok=True)

    def create_text(self, name: str, text: str) -> bool:
        """Writes a small text file unless there is one of that name; False where there is."""
        target = self._path(name)
        with self._writing(name):
            try:
                if not self.is_folder:
                    self._fs.pipe_file(target, text.encode(), mode="create")
                    return True
                part = Path(f"{target}.{uuid.uuid4().hex}{PART}")
                part.parent.mkdir(parents=True, exist_ok=True)
                try:
                    part.write_text(text)
                    Path(target).hardlink_to(part)
                finally:
                    part.unlink(missing_ok=True)
            except OSError:
                if self.read_text(name) is None:
                    raise
                return False
        return True

    def get(self, name: str, target: Path) -> bool:
        """Copies a file of the store to `target`; False where there is none.

        Raises StorageFull where the disk of this machine is full.
        """
        with self._reading(name), disk_full_as_error(target.parent):
            try:
                self._fs.get_file(self._path(name), str(target))
            except FileNotFoundError:
                return False
        return True

    def read_text(self, name: str) -> str | None:
        """The content of a small text file; None where there is none."""
        with self._reading(name):
            try:
                return bytes(self._fs.cat_file(self._path(name))).decode(errors="replace")
            except FileNotFoundError:
                return None

    def files(self, folder: str) -> list[StoredFile]:
        """The complete files of a folder and below it, by name; empty where there is none."""
        with self._reading(folder):
            try:
                found = self._fs.find(self._path(folder), detail=True)
            except FileNotFoundError:
                return []
        root = f"{self._root}/"
        return [
            StoredFile(path.removeprefix(root), int(about["size"]), _time_of(about))
            for path, about in sorted(found.items())
            if not path.endswith(PART)
        ]

    def exists(self, name: str) -> bool:
        """Whether there is a complete file of that name."""
        with self._reading(name):
            return bool(self._fs.exists(self._path(name)))

    def remove(self, name: str) -> None:
        """Removes a file, or a folder with all its files; nothing where there is none."""
        with self._writing(name), suppress(FileNotFoundError):
            self._fs.rm(self._path(name), recursive=True)

    def set_aside(self, name: str) -> str:
        """Moves a damaged file out of the way; returns its new name."""
        aside = f"{ASIDE}/{uuid.uuid4().hex[:8]}-{name.replace('/', '-')}"
        with self._writing(name), suppress(FileNotFoundError):
            if self.is_folder:
                self._fs.makedirs(f"{self._root}/{ASIDE}", exist_ok=True)
            self._fs.mv(self._path(name), self._path(aside))
        return aside

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except _failures() as error:
            raise self._unavailable("read", name, error) from error

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except _failures() as error:
            if getattr(error, "errno", None) in FULL:
                raise StorageFull(
                    f"The store {self.url} is full: no partial file was kept. Free some space "
                    f"there and retry."
                ) from error
            raise self._unavailable("write", name, error) from error

    def _unavailable(self, verb: str, name: str, error: BaseException) -> StoreUnavailable:
        lines = str(error).strip().splitlines()
        reason = lines[0][:200].rstrip(".") if lines else type(error).__name__
        return StoreUnavailable(
            f"The store {self.url} cannot be used ({verb} {name}: {reason}): check SENET_STORE, "
            f"its access rights and the network, and retry."
        )


def shared_store() -> ObjectStore | None:
    """The store of the settings; None where the home is the store. Raises StoreUnavailable."""
    url = settings().store
    return _store(url) if url else None


@lru_cache(maxsize=4)
def _store(url: str) -> ObjectStore:
    return ObjectStore(url)


def _open(url: str) -> tuple[bool, Any, str]:
    """Whether the store is a folder, its fsspec file system, and the path of its root in that."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if parts.scheme == "file" and not parts.netloc and len(path) > 1:
        from fsspec.implementations.local import LocalFileSystem

        return True, LocalFileSystem(skip_instance_cache=True), path
    if parts.scheme == "s3" and parts.netloc:
        try:
            from s3fs import S3FileSystem
        except ImportError as error:
            raise StoreUnavailable(
                f"SENET_STORE is {url}, which needs s3fs: install it with "
                f"`pip install -r requirements/s3.txt`."
            ) from error
        return (
            False,
            S3FileSystem(use_listings_cache=False, skip_instance_cache=True),
            f"{parts.netloc}{path}",
        )
    raise StoreUnavailable(
        f"SENET_STORE is {quoted(url)}, which is no store: give file:///folder or "
        f"s3://bucket/prefix."
    )


def _failures() -> tuple[type[BaseException], ...]:
    """What a file system raises; of S3 also the errors of its client, once that is imported."""
    client = sys.modules.get("botocore.exceptions")
    return (OSError,) if client is None else (OSError, client.BotoCoreError, client.ClientError)


def _time_of(about: dict[str, Any]) -> float:
    if "LastModified" in about:
        return float(about["LastModified"].timestamp())
    return float(about.get("mtime", 0.0))

"""The contents of a folder: its images at any depth, and all other files, for the report.

Names that begin with a dot, and folders that file managers and notebooks create, are ignored.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from PIL import Image

from engine.errors import DatasetInvalid
from engine.preprocess import FORMATS

IGNORED = frozenset(("@eadir", "__macosx", "lost+found", "$recycle.bin", "#recycle"))
OTHER_IMAGES = frozenset((".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".svg", ".psd"))
"""Suffixes of image formats that are not supported."""
MAX_DEPTH = 16
SHOWN = 5


@lru_cache(maxsize=1)
def suffixes() -> frozenset[str]:
    """Lower-case suffixes of the supported image formats."""
    formats = Image.registered_extensions()
    return frozenset(suffix for suffix, name in formats.items() if name in FORMATS)


def suffix_of(name: str) -> str:
    """The lower-case suffix: `.jpg` for `a/b.JPG`, an empty string if there is none."""
    return PurePosixPath(name).suffix.lower()


@dataclass(slots=True)
class FolderContents:
    """Images and other files under a root; paths are relative to it, with slashes.

    `images` are sorted by top folder, then by the rest of the path; `folders` are those directly
    in the root, including empty ones; `others` counts the other files by suffix, `texts` are their
    paths; `ignored` are folders.
    """

    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def root_images(self) -> list[str]:
        """The images directly in the root."""
        return [image for image in self.images if "/" not in image]

    def by_folder(self) -> dict[str, list[str]]:
        """The images of each folder of the root; an empty list for an empty folder."""
        by_folder: dict[str, list[str]] = {folder: [] for folder in self.folders}
        for image in self.images:
            top, slash, _ = image.partition("/")
            if slash:
                by_folder[top].append(image)
        return by_folder

    def notes(self) -> list[str]:
        """Sentences on the files and folders that are not used."""
        notes = []
        if self.ignored:
            notes.append(f"Ignored folders: {join_first(self.ignored)}.")
        unsupported = {suffix: n for suffix, n in self.others.items() if suffix in OTHER_IMAGES}
        if unsupported:
            notes.append(
                f"Ignored images of unsupported formats: {_counts(unsupported)}; convert them to "
                f"JPEG or PNG to use them."
            )
        rest = {suffix: n for suffix, n in self.others.items() if suffix not in OTHER_IMAGES}
        if rest:
            notes.append(f"Ignored files without an image suffix: {_counts(rest)}.")
        return notes


def _counts(by_suffix: dict[str, int]) -> str:
    ordered = sorted(by_suffix.items(), key=lambda pair: (-pair[1], pair[0]))
    return join_first([f"{n:,} {suffix or 'without a suffix'}" for suffix, n in ordered])


def join_first(names: list[str] | tuple[str, ...], limit: int = SHOWN) -> str:
    """The first names, comma-separated, and the number of further ones: `a, b and 3 more`."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def count_noun(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: `1 image`, `1,024 images`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def scan_folder(root: Path) -> FolderContents:
    """Scans a folder recursively. Raises DatasetInvalid if it is no folder or cannot be read."""
    if not root.is_dir():
        raise DatasetInvalid(f"{root} is not a folder.")
    contents = FolderContents()
    try:
        _walk(root, "", contents, frozenset())
    except OSError as error:
        raise DatasetInvalid(
            f"{error.filename or root} cannot be read: {error.strerror}."
        ) from error
    contents.images.sort(key=lambda image: (image.partition("/")[0], image.partition("/")[2]))
    contents.folders.sort()
    return contents


def _walk(
    folder: Path, prefix: str, contents: FolderContents, parents: frozenset[tuple[int, int]]
) -> None:
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in parents or prefix.count("/") > MAX_DEPTH:
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                if entry.name.startswith(".") or entry.name.lower() in IGNORED:
                    contents.ignored.append(name)
                    continue
                if not prefix:
                    contents.folders.append(entry.name)
                _walk(Path(entry.path), f"{name}/", contents, parents | {identity})
            elif entry.name.startswith("."):
                continue
            elif suffix_of(name) in suffixes():
                contents.images.append(name)
            else:
                contents.others[suffix_of(name)] += 1
                contents.texts.append(name)

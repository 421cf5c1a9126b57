"""What a folder holds: its images at any depth, and what else lies there, so that nothing is lost.

Folders that file managers and notebooks leave behind, and all that begins with a dot, are no data.
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
"""Suffixes of pictures that are not decoded here."""
MOST_LEVELS = 16
SHOWN = 5


@lru_cache(maxsize=1)
def suffixes() -> frozenset[str]:
    """Suffixes of the image formats that are decoded, in small letters."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in FORMATS)


def suffix_of(name: str) -> str:
    """`.jpg` of `a/b.JPG`; empty where there is none."""
    return PurePosixPath(name).suffix.lower()


@dataclass(slots=True)
class Contents:
    """Paths are relative to the root, with slashes.

    `images` are sorted by folder, then by what follows; `folders` are those directly in the root,
    empty ones too; `others` counts files that are no images by suffix; `ignored` are folders.
    """

    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def loose(self) -> list[str]:
        """The images directly in the root."""
        return [image for image in self.images if "/" not in image]

    def by_folder(self) -> dict[str, list[str]]:
        """The images of each folder of the root; an empty folder has none."""
        found: dict[str, list[str]] = {folder: [] for folder in self.folders}
        for image in self.images:
            top, slash, _ = image.partition("/")
            if slash:
                found[top].append(image)
        return found

    def notes(self) -> list[str]:
        """What lies there and is not used, in sentences."""
        notes = []
        if self.ignored:
            notes.append(f"No classes, and left out: the folders {listed(self.ignored)}.")
        unread = {suffix: n for suffix, n in self.others.items() if suffix in OTHER_IMAGES}
        if unread:
            notes.append(
                f"Pictures of kinds that cannot be read are left out: {_counts(unread)}; convert "
                f"them to JPEG or PNG to use them."
            )
        rest = {suffix: n for suffix, n in self.others.items() if suffix not in OTHER_IMAGES}
        if rest:
            notes.append(f"Files that are not named as images are left out: {_counts(rest)}.")
        return notes


def _counts(found: dict[str, int]) -> str:
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return listed([f"{n:,} {suffix or 'without a suffix'}" for suffix, n in ordered])


def listed(names: list[str] | tuple[str, ...], most: int = SHOWN) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 image`, `1,024 images`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def look_into(root: Path) -> Contents:
    """All that lies under a folder. Raises DatasetInvalid where it is none or cannot be read."""
    if not root.is_dir():
        raise DatasetInvalid(f"{root} is not a folder.")
    found = Contents()
    try:
        _walk(root, "", found, frozenset())
    except OSError as error:
        raise DatasetInvalid(
            f"{error.filename or root} cannot be read: {error.strerror}."
        ) from error
    found.images.sort(key=lambda image: (image.partition("/")[0], image.partition("/")[2]))
    found.folders.sort()
    return found


def _walk(folder: Path, prefix: str, found: Contents, above: frozenset[tuple[int, int]]) -> None:
    here = os.stat(folder)
    identity = (here.st_dev, here.st_ino)
    if identity in above or prefix.count("/") > MOST_LEVELS:
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                if entry.name.startswith(".") or entry.name.lower() in IGNORED:
                    found.ignored.append(name)
                    continue
                if not prefix:
                    found.folders.append(entry.name)
                _walk(Path(entry.path), f"{name}/", found, above | {identity})
            elif entry.name.startswith("."):
                continue
            elif suffix_of(name) in suffixes():
                found.images.append(name)
            else:
                found.others[suffix_of(name)] += 1
                found.texts.append(name)

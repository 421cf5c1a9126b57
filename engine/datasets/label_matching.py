"""Which line of a label file is of which image: by path, else by a file name that is unique."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from engine.datasets.folders import listed, suffix_of, suffixes
from engine.datasets.label_tables import Line, whole_number, wnid_of
from engine.errors import DatasetInvalid

ELSEWHERE = "the list of images"


def parts_of(name: str) -> tuple[str, ...]:
    """The folders and the file of a path as people write them, on any system."""
    if "\\" in name:
        name = name.replace("\\", "/")
    return tuple(part for part in name.split("/") if part not in ("", ".")) or (name,)


def _stem(base: str) -> str:
    known = suffix_of(base) in suffixes() or suffix_of(base) == ".npz"
    return (PurePosixPath(base).stem if known else base).lower()


def _agree(one: Line, other: Line) -> bool:
    """Whether two lines give the same class, however it is written: 3, 03 and 3.0 are one."""

    def meant(label: str) -> int | str:
        index = whole_number(label)
        return index if index is not None else wnid_of(label) or label

    return meant(one.label) == meant(other.label)


class _Names:
    """Images by file name: as it is, in small letters, and without the suffix."""

    def __init__(self, images: Sequence[str], root: Path | None) -> None:
        self.images = images
        self._above = root.parts if root is not None else ()
        self._whole = {image: place for place, image in enumerate(images)}
        self._tables: list[tuple[dict[str, list[int]], int]] = []
        for way in range(3):
            table: dict[str, list[int]] = defaultdict(list)
            for place, image in enumerate(images):
                table[self._key(image.rpartition("/")[2], way)].append(place)
            self._tables.append((table, way))

    @staticmethod
    def _key(base: str, way: int) -> str:
        return (base, base.lower(), _stem(base))[way]

    def find(self, name: str) -> tuple[list[int], int]:
        """Places of the images that a name fits best, and how many folders of it agree."""
        for text in (name, "/".join(parts_of(name))):
            if text in self._whole:
                return [self._whole[text]], len(parts_of(text)) + len(self._above)
        parts = parts_of(name)
        for table, way in self._tables:
            found = table.get(self._key(parts[-1], way), [])
            if found:
                agreeing = [self._agreeing(parts, place) for place in found]
                best = max(agreeing)
                return [p for p, n in zip(found, agreeing, strict=True) if n == best], best
        return [], 0

    def _agreeing(self, parts: tuple[str, ...], place: int) -> int:
        own = (*self._above, *self.images[place].split("/"))[:-1]
        count = 0
        for ours, theirs in zip(reversed(own), reversed(parts[:-1]), strict=False):
            if ours != theirs:
                break
            count += 1
        return count


def match_lines(
    lines: Sequence[Line], images: Sequence[str], root: Path | None, file: str
) -> list[int]:
    """For each image the place of its line, or -1.

    That is for images in folders of a `root` where others are in none, if no line is of a folder.
    Raises DatasetInvalid for other images without a line, and for lines without an image of the
    root.
    """
    names = _Names(images, root)
    line_of: dict[int, tuple[int, int]] = {}
    absent: list[Line] = []
    for place, line in enumerate(lines):
        found, agreeing = names.find(line.name)
        if len(found) > 1:
            raise DatasetInvalid(
                f"{file}, line {line.number}: {len(found)} images are called {line.name} "
                f"({listed([images[one] for one in found], 2)}): write the folders before it."
            )
        if not found:
            absent.append(line)
            continue
        image = found[0]
        known = line_of.get(image)
        if known is None or agreeing > known[1]:
            if known is not None:
                absent.append(lines[known[0]])
            line_of[image] = (place, agreeing)
        elif agreeing < known[1]:
            absent.append(line)
        elif not _agree(lines[known[0]], line):
            raise DatasetInvalid(f"{file}, line {line.number}: {line.name} is labeled twice.")
    aside = {place for place, image in enumerate(images) if "/" in image}
    if root is None or len(aside) == len(images) or aside & line_of.keys():
        aside = set()
    _require_all(line_of, absent, images, aside, root, file, lines)
    return [line_of.get(image, (-1, 0))[0] for image in range(len(images))]


def _require_all(
    line_of: dict[int, tuple[int, int]],
    absent: list[Line],
    images: Sequence[str],
    aside: set[int],
    root: Path | None,
    file: str,
    lines: Sequence[Line],
) -> None:
    kept = [place for place in range(len(images)) if place not in aside]
    missing = [images[place] for place in kept if place not in line_of]
    if not line_of:
        raise DatasetInvalid(
            f"{file} is of other images: it names {lines[0].name}, and {root or ELSEWHERE} "
            f"holds {images[0]}."
        )
    if missing:
        raise DatasetInvalid(
            f"{len(missing):,} of {len(kept):,} images have no line in {file} (the first: "
            f"{missing[0]}): add their lines, or take these images out."
        )
    if absent and root is not None:
        raise DatasetInvalid(
            f"{file} names {len(absent):,} images that are not in {root} (the first: "
            f"{absent[0].name}, line {absent[0].number}): bring them, or remove these lines."
        )


def refuse_doubles(file: str, names: Sequence[str], lines: Sequence[Line]) -> None:
    """Raises DatasetInvalid for a name with two classes."""
    seen: dict[str, Line] = {}
    for name, line in zip(names, lines, strict=True):
        before = seen.setdefault(name, line)
        if not _agree(before, line):
            raise DatasetInvalid(f"{file}, line {line.number}: {name} is labeled twice.")

"""Matches the lines of a label file with images: by path, else by a unique file name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from engine.datasets.folders import join_first, suffix_of, suffixes
from engine.datasets.label_tables import Line, parse_class_index, wnid_of
from engine.errors import DatasetInvalid

WITHOUT_ROOT = "the list of images"


def path_parts(name: str) -> tuple[str, ...]:
    """The folders and the file name of a path, with `/` or backslashes as separators."""
    if "\\" in name:
        name = name.replace("\\", "/")
    return tuple(part for part in name.split("/") if part not in ("", ".")) or (name,)


def _stem(name: str) -> str:
    has_suffix = suffix_of(name) in suffixes() or suffix_of(name) == ".npz"
    return (PurePosixPath(name).stem if has_suffix else name).lower()


def _same_class(line: Line, other: Line) -> bool:
    """Whether two lines give the same class; 3, 03 and 3.0 are equal."""

    def value(label: str) -> int | str:
        index = parse_class_index(label)
        return index if index is not None else wnid_of(label) or label

    return value(line.label) == value(other.label)


class _ImageNames:
    """Finds images by file name: exactly, ignoring case, and ignoring the suffix."""

    def __init__(self, images: Sequence[str], root: Path | None) -> None:
        self.images = images
        self._root_parts = root.parts if root is not None else ()
        self._by_path = {image: position for position, image in enumerate(images)}
        self._tables: list[tuple[dict[str, list[int]], int]] = []
        for strictness in range(3):
            table: dict[str, list[int]] = defaultdict(list)
            for position, image in enumerate(images):
                table[self._key(image.rpartition("/")[2], strictness)].append(position)
            self._tables.append((table, strictness))

    @staticmethod
    def _key(name: str, strictness: int) -> str:
        return (name, name.lower(), _stem(name))[strictness]

    def find(self, name: str) -> tuple[list[int], int]:
        """Positions of the best matching images, and the number of their matching folders."""
        for text in (name, "/".join(path_parts(name))):
            if text in self._by_path:
                return [self._by_path[text]], len(path_parts(text)) + len(self._root_parts)
        parts = path_parts(name)
        for table, strictness in self._tables:
            positions = table.get(self._key(parts[-1], strictness), [])
            if positions:
                counts = [self._matching_folders(parts, position) for position in positions]
                best = max(counts)
                return [p for p, n in zip(positions, counts, strict=True) if n == best], best
        return [], 0

    def _matching_folders(self, parts: tuple[str, ...], position: int) -> int:
        """The number of folders, from the file upwards, that are equal in both paths."""
        image_folders = (*self._root_parts, *self.images[position].split("/"))[:-1]
        count = 0
        for folder, other in zip(reversed(image_folders), reversed(parts[:-1]), strict=False):
            if folder != other:
                break
            count += 1
        return count


def match_lines(
    lines: Sequence[Line], images: Sequence[str], root: Path | None, file: str
) -> list[int]:
    """The index of its line for each image, or -1.

    -1 is for images in subfolders, if other images are directly in the `root` and no line refers to
    an image in a subfolder. Raises DatasetInvalid for other images without a line, and for lines
    without an image of the root.
    """
    names = _ImageNames(images, root)
    line_of: dict[int, tuple[int, int]] = {}  # (index of the line, matching folders) by image
    unmatched: list[Line] = []
    for row, line in enumerate(lines):
        positions, n_folders = names.find(line.name)
        if len(positions) > 1:
            paths = join_first([images[position] for position in positions], 2)
            raise DatasetInvalid(
                f"{file}, line {line.number}: {len(positions)} images are called {line.name} "
                f"({paths}): add the folders to the name."
            )
        if not positions:
            unmatched.append(line)
            continue
        image = positions[0]
        previous = line_of.get(image)
        if previous is None or n_folders > previous[1]:
            if previous is not None:
                unmatched.append(lines[previous[0]])
            line_of[image] = (row, n_folders)
        elif n_folders < previous[1]:
            unmatched.append(line)
        elif not _same_class(lines[previous[0]], line):
            raise DatasetInvalid(
                f"{file}, line {line.number}: {line.name} has another class on an earlier line."
            )
    in_subfolders = {position for position, image in enumerate(images) if "/" in image}
    if root is None or len(in_subfolders) == len(images) or in_subfolders & line_of.keys():
        in_subfolders = set()
    _require_all(line_of, unmatched, images, in_subfolders, root, file, lines)
    return [line_of.get(position, (-1, 0))[0] for position in range(len(images))]


def _require_all(
    line_of: dict[int, tuple[int, int]],
    unmatched: list[Line],
    images: Sequence[str],
    excluded: set[int],
    root: Path | None,
    file: str,
    lines: Sequence[Line],
) -> None:
    required = [position for position in range(len(images)) if position not in excluded]
    missing = [images[position] for position in required if position not in line_of]
    if not line_of:
        raise DatasetInvalid(
            f"{file} belongs to other images: it lists {lines[0].name}, and {root or WITHOUT_ROOT} "
            f"contains {images[0]}."
        )
    if missing:
        raise DatasetInvalid(
            f"{len(missing):,} of {len(required):,} images have no line in {file} (the first: "
            f"{missing[0]}): add their lines, or remove these images."
        )
    if unmatched and root is not None:
        raise DatasetInvalid(
            f"{file} lists {len(unmatched):,} images that are not in {root} (the first: "
            f"{unmatched[0].name}, line {unmatched[0].number}): add them, or remove these lines."
        )


def refuse_conflicting_lines(file: str, names: Sequence[str], lines: Sequence[Line]) -> None:
    """Raises DatasetInvalid for a name with two different classes."""
    first_lines: dict[str, Line] = {}
    for name, line in zip(names, lines, strict=True):
        if not _same_class(first_lines.setdefault(name, line), line):
            raise DatasetInvalid(
                f"{file}, line {line.number}: {name} has another class on an earlier line."
            )

"""The result file of the vendor's decoder: five lines per image, best class first.

`<path>: Relay top-<k> id: <class>, prob: <8 decimals>, class name: <name>`, k from 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from engine.errors import VaccFileInvalid
from engine.text import quoted, unprintable

TOP = 5
_LINE = re.compile(
    r"(?P<path>.+): Relay top-(?P<rank>[0-9]{1,6}) id: (?P<id>[0-9]{1,6}), "
    r"prob: (?P<prob>[-+]?[0-9.]{1,60}(e[-+]?[0-9]{1,3})?), class name: (?P<name>.*)"
)
MAX_LINE_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class TopClasses:
    """The top classes of one image: index, score and name of each."""

    path: str
    ids: tuple[int, ...]
    scores: tuple[float, ...]
    names: tuple[str, ...]


def format_lines(ranked: TopClasses) -> Iterator[str]:
    """The lines of one image."""
    for rank, (index, score, name) in enumerate(
        zip(ranked.ids, ranked.scores, ranked.names, strict=True)
    ):
        yield (
            f"{ranked.path}: Relay top-{rank} id: {index}, prob: {score:.8f}, class name: {name}\n"
        )


def read_lines(lines: Iterable[str], file: str) -> Iterator[TopClasses]:
    """One TopClasses per image; consecutive lines of the same path belong to one image.

    Raises VaccFileInvalid with the number of a line in another format.
    """
    parsed = (_parse(number, line, file) for number, line in enumerate(lines, 1) if line.strip())
    for path, group in groupby(parsed, key=lambda match: match["path"]):
        ranks = sorted(group, key=lambda match: int(match["rank"]))
        if len({int(match["rank"]) for match in ranks}) < len(ranks):
            raise VaccFileInvalid(
                f"{file}: {path} has several lines of the same rank; list each image once."
            )
        yield TopClasses(
            path,
            tuple(int(match["id"]) for match in ranks),
            tuple(float(match["prob"]) for match in ranks),
            tuple(match["name"].strip() for match in ranks),
        )


def _parse(number: int, line: str, file: str) -> re.Match[str]:
    match = _LINE.fullmatch(line.rstrip("\n")) if len(line) <= MAX_LINE_LENGTH else None
    if match is None or not _is_finite(match["prob"]) or unprintable(match["path"]):
        raise VaccFileInvalid(
            f"{file}, line {number}: expected '<path>: Relay top-<k> id: <class>, prob: <p>, class "
            f"name: <name>', found {quoted(line.strip())}."
        )
    return match


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:  # such as 1.2.3
        return False


def read_class_names(path: Path) -> tuple[str, ...]:
    """Reads class names, one per line, in the order of the indices. Raises VaccFileInvalid."""
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise VaccFileInvalid(f"The label file {path} cannot be read: {reason}.") from error
    if len(names) < 2:
        raise VaccFileInvalid(f"{path} has {len(names)} class names; expected: one per line.")
    return names


def class_names_of(ids: Sequence[int], names: Sequence[str], file: str) -> tuple[str, ...]:
    """The names of classes. Raises VaccFileInvalid if a class has no name."""
    if max(ids) >= len(names):
        raise VaccFileInvalid(
            f"{file} has {len(names)} class names, but class {max(ids)} was predicted; give the "
            f"class names of the model."
        )
    return tuple(names[index] for index in ids)

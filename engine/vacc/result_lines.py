"""The decoder's result file: five lines an image, best class first.

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
MOST_LETTERS = 10_000


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best classes of one image, by index and by name, with their scores."""

    path: str
    ids: tuple[int, ...]
    scores: tuple[float, ...]
    names: tuple[str, ...]


def format_lines(ranked: Ranked) -> Iterator[str]:
    """The lines of one image."""
    for rank, (index, score, name) in enumerate(
        zip(ranked.ids, ranked.scores, ranked.names, strict=True)
    ):
        yield (
            f"{ranked.path}: Relay top-{rank} id: {index}, prob: {score:.8f}, class name: {name}\n"
        )


def read_lines(lines: Iterable[str], file: str) -> Iterator[Ranked]:
    """One Ranked an image; its lines belong together by their path, however many there are.

    Raises VaccFileInvalid naming the line that is not of this form.
    """
    parsed = (_parse(number, line, file) for number, line in enumerate(lines, 1) if line.strip())
    for path, group in groupby(parsed, key=lambda match: match["path"]):
        ranks = sorted(group, key=lambda match: int(match["rank"]))
        if len({int(match["rank"]) for match in ranks}) < len(ranks):
            raise VaccFileInvalid(
                f"{file}: {path} has several lines of one rank; give the lines of each image once."
            )
        yield Ranked(
            path,
            tuple(int(match["id"]) for match in ranks),
            tuple(float(match["prob"]) for match in ranks),
            tuple(match["name"].strip() for match in ranks),
        )


def _parse(number: int, line: str, file: str) -> re.Match[str]:
    match = _LINE.fullmatch(line.rstrip("\n")) if len(line) <= MOST_LETTERS else None
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
    """A class name a line, in the order of the class indices. Raises VaccFileInvalid."""
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise VaccFileInvalid(f"The label file {path} cannot be read: {reason}.") from error
    if len(names) < 2:
        raise VaccFileInvalid(f"{path} holds {len(names)} class names; one a line is expected.")
    return names


def names_of(ids: Sequence[int], names: Sequence[str], file: str) -> tuple[str, ...]:
    """The names of classes. Raises VaccFileInvalid when there are fewer names than classes."""
    if max(ids) >= len(names):
        raise VaccFileInvalid(
            f"{file} has {len(names)} class names, but class {max(ids)} was predicted; give the "
            f"label file of the model."
        )
    return tuple(names[index] for index in ids)

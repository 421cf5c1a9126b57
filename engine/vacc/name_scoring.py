"""Scoring as the vendor's scripts do it, by class name: for comparison with published figures.

Two of its effects are errors: a class whose name the label file cuts short (480) never matches, and
two classes of one name (134 and 517, "crane") stand in for each other. A line that is missing from
a result file shifts every group of five after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.datasets.imagenet import class_names, wnid_to_index
from engine.errors import VaccFileInvalid
from engine.vacc.result_lines import TOP


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images are right at once, and within five."""

    images: int
    top1: int
    top5: int

    def line(self, decimals: int | None = None) -> str:
        """The line that the vendor's scripts print, in percent."""
        rates = [right / self.images * 100 for right in (self.top1, self.top5)]
        shown = [rate if decimals is None else float(np.around(rate, decimals)) for rate in rates]
        return f"[VACC]:  top1_rate: {shown[0]} top5_rate: {shown[1]}"


@dataclass(frozen=True, slots=True)
class Matches:
    """Right or wrong for each image, at once and within five; bool (n,)."""

    top1: np.ndarray
    top5: np.ndarray

    def counts(self) -> Counts:
        """Their sums."""
        return Counts(len(self.top1), int(self.top1.sum()), int(self.top5.sum()))


def by_index(ranks: np.ndarray) -> Matches:
    """Right by class index: rank 0, and rank below five."""
    return Matches(ranks == 0, (ranks >= 0) & (ranks < TOP))


def by_name(predicted: Sequence[Sequence[str]], labels: np.ndarray) -> Matches:
    """Right by name: the predicted names against the official name of the true class."""
    names = class_names()
    hits = [
        [guess == names[label] for guess in guesses]
        for guesses, label in zip(predicted, labels.tolist(), strict=True)
    ]
    return Matches(np.array([row[0] for row in hits]), np.array([any(row) for row in hits]))


def by_name_of_lines(lines: Sequence[str], file: str) -> Matches:
    """A result file as the old script reads it: five lines an image, the fifth field of each.

    Raises VaccFileInvalid where that script would break.
    """
    hits = [_line_is_right(number, line, file) for number, line in enumerate(lines, 1)]
    groups = [hits[start : start + TOP] for start in range(0, len(hits), TOP)]
    return Matches(np.array([g[0] for g in groups]), np.array([any(g) for g in groups]))


def _line_is_right(number: int, line: str, file: str) -> bool:
    line = line.rstrip("\n")
    if not line:
        return False
    folders, fields = line.split("/"), line.split(":")
    if len(folders) < 2 or len(fields) < 5 or folders[-2] not in wnid_to_index():
        raise VaccFileInvalid(
            f"{file}, line {number}: the old scoring needs a folder named by a wnid and five "
            f"fields; leave --by-name out."
        )
    return class_names()[wnid_to_index()[folders[-2]]] == fields[4].strip()


def changes(first: Matches, second: Matches) -> tuple[int, int]:
    """(images whose top-1 verdict changes, images whose top-5 verdict changes)."""
    if len(first.top1) != len(second.top1):
        return abs(len(first.top1) - len(second.top1)), abs(len(first.top5) - len(second.top5))
    return int((first.top1 != second.top1).sum()), int((first.top5 != second.top5).sum())

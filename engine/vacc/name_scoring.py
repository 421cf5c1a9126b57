"""Scoring by class name, as the vendor's scripts do it, for comparison with published figures.

It has known errors: a class whose name is truncated in the label file (480) never matches, and the
two classes of the same name (134 and 517, "crane") are counted as equal. A missing line in a result
file shifts all groups of five lines after it.
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
    """Number of images, and of those correct in top-1 and top-5."""

    images: int
    top1: int
    top5: int

    def result_line(self, decimals: int | None = None) -> str:
        """The line that the vendor's scripts print; rates in percent."""
        rates = [correct / self.images * 100 for correct in (self.top1, self.top5)]
        shown = [rate if decimals is None else float(np.around(rate, decimals)) for rate in rates]
        return f"[VACC]:  top1_rate: {shown[0]} top5_rate: {shown[1]}"


@dataclass(frozen=True, slots=True)
class Matches:
    """Whether each image is correct in top-1 and in top-5; bool (n,)."""

    top1: np.ndarray
    top5: np.ndarray

    def counts(self) -> Counts:
        """The number of correct images."""
        return Counts(len(self.top1), int(self.top1.sum()), int(self.top5.sum()))


def matches_by_index(ranks: np.ndarray) -> Matches:
    """Matches by class index: the rank of the label is 0 (top-1), or below 5 (top-5)."""
    return Matches(ranks == 0, (ranks >= 0) & (ranks < TOP))


def matches_by_name(predicted: Sequence[Sequence[str]], labels: np.ndarray) -> Matches:
    """Matches by name: predicted names compared with the ImageNet name of the label."""
    names = class_names()
    hits = [
        [guess == names[label] for guess in guesses]
        for guesses, label in zip(predicted, labels.tolist(), strict=True)
    ]
    return Matches(np.array([row[0] for row in hits]), np.array([any(row) for row in hits]))


def matches_by_name_in_lines(lines: Sequence[str], file: str) -> Matches:
    """Matches in a result file as the old script reads it: five lines per image, the fifth field.

    Raises VaccFileInvalid where that script would fail.
    """
    hits = [_is_line_correct(number, line, file) for number, line in enumerate(lines, 1)]
    groups = [hits[start : start + TOP] for start in range(0, len(hits), TOP)]
    return Matches(np.array([g[0] for g in groups]), np.array([any(g) for g in groups]))


def _is_line_correct(number: int, line: str, file: str) -> bool:
    line = line.rstrip("\n")
    if not line:
        return False
    folders, fields = line.split("/"), line.split(":")
    if len(folders) < 2 or len(fields) < 5 or folders[-2] not in wnid_to_index():
        raise VaccFileInvalid(
            f"{file}, line {number}: the old scoring needs a folder named by a wnid and five "
            f"fields; leave out --by-name."
        )
    return class_names()[wnid_to_index()[folders[-2]]] == fields[4].strip()


def count_changes(first: Matches, second: Matches) -> tuple[int, int]:
    """The number of images whose top-1 result differs, and whose top-5 result differs."""
    if len(first.top1) != len(second.top1):
        return abs(len(first.top1) - len(second.top1)), abs(len(first.top5) - len(second.top5))
    return int((first.top1 != second.top1).sum()), int((first.top5 != second.top5).sum())

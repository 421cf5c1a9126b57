"""Detects whether numeric class labels count from 0 or from 1."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from engine.datasets.imagenet import class_names
from engine.errors import DatasetInvalid

MAX_CLASSES = 100_000
PAGE_HINT = " (on the page: Classes and columns)"


@dataclass(frozen=True, slots=True)
class Numbering:
    """The number of the first class (`base`), the number of classes, and a note on assumptions.

    `complete`: every class occurs in the dataset.
    """

    base: int
    count: int
    complete: bool
    note: str | None = None


def detect_numbering(
    numbers: Set[int], what: str, count: int | None, base: int | None, from_one: bool
) -> Numbering:
    """The numbering of `numbers`, the labels that occur; `count` and `base` if they are known.

    Numbers from 1 count from 1 if the largest equals `count`, or if `from_one` is set (usual for
    folder names). Raises DatasetInvalid for numbers out of range and for ambiguous numbering.
    `what` names the numbers in messages, in the plural.
    """
    low, high = min(numbers), max(numbers)
    if high > MAX_CLASSES:
        raise DatasetInvalid(f"{what} contain {high}, which is not a class index.")
    note = None
    if base is None:
        base, note = _detect_base(numbers, what, count, from_one)
    if low < base or (count is not None and high >= count + base):
        outside = low if low < base else high
        allowed = f"{base} to {count - 1 + base}" if count is not None else f"{base} and above"
        reason = " (--label-base)" if base else ""
        raise DatasetInvalid(
            f"{what} contain {outside}, which is outside the range {allowed}{reason}."
        )
    total = count if count is not None else high - base + 1
    return Numbering(base, total, len(numbers) == total, note)


def _detect_base(
    numbers: Set[int], what: str, count: int | None, from_one: bool
) -> tuple[int, str | None]:
    high = max(numbers)
    if 0 in numbers:
        return 0, None
    dense = 1 in numbers and len(numbers) == high
    if count is not None:
        if high == count:
            return 1, f"{what} count from 1 to {count:,}: 1 is subtracted from each."
        if dense and high == count - 1:
            raise DatasetInvalid(
                f"{what} are 1 to {high:,} of {count:,} classes, so they may count from 0 or from "
                f"1: give `--label-base 0` or `--label-base 1`{PAGE_HINT}."
            )
        return 0, (
            f"{what} are {min(numbers):,} to {high:,} of {count:,} classes: assumed to count from "
            f"0 (`--label-base 1`: from 1)."
        )
    if from_one and 1 in numbers:
        return 1, f"{what} start at 1: 1 is subtracted from each (`--label-base 0`: it is not)."
    if dense or high == len(class_names()):
        raise DatasetInvalid(
            f"{what} are {min(numbers):,} to {high:,} without a 0, and the number of classes is "
            f"unknown: give `--label-base 1` ({high:,} classes) or `--label-base 0` "
            f"({high + 1:,} classes), or the classes with `--classes FILE`{PAGE_HINT}."
        )
    return 0, None

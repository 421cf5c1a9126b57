"""Whether classes that are called by numbers count from 0 or from 1."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from engine.datasets.imagenet import class_names
from engine.errors import DatasetInvalid

MOST_CLASSES = 100_000
ON_THE_PAGE = " (on the page: Classes and columns)"


@dataclass(frozen=True, slots=True)
class Numbering:
    """The number of the first class, how many classes there are, and what to say of it.

    `complete`: every class has its number among those that were seen.
    """

    base: int
    count: int
    complete: bool
    note: str | None = None


def number_classes(
    numbers: Set[int], what: str, count: int | None, base: int | None, from_one: bool
) -> Numbering:
    """How numbers name classes; `count` of them where that is known, `base` where it is said.

    Numbers that begin at 1 are taken to count from 1 where that is certain: one of them is the
    count itself; or where `from_one` says that such numbers usually do (folders). Raises
    DatasetInvalid for numbers out of range, and where it must be asked.
    """
    low, high = min(numbers), max(numbers)
    if high > MOST_CLASSES:
        raise DatasetInvalid(f"{what} hold {high}, which is no class index.")
    note = None
    if base is None:
        base, note = _detected(numbers, what, count, from_one)
    if low < base or (count is not None and high >= count + base):
        last = f"{count - 1 + base}" if count is not None else "up"
        asked = " as --label-base says" if base else ""
        raise DatasetInvalid(
            f"{what} hold {low if low < base else high}, which is outside {base} to {last}{asked}."
        )
    total = count if count is not None else high - base + 1
    return Numbering(base, total, len(numbers) == total, note)


def _detected(
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
                f"{what} are 1 to {high:,} of {count:,} classes, which can count from 0 or from "
                f"1: say `--label-base 0` or `--label-base 1`{ON_THE_PAGE}."
            )
        return 0, (
            f"{what} are {min(numbers):,} to {high:,} of {count:,} classes: they are taken as "
            f"counted from 0 (`--label-base 1` counts from 1)."
        )
    if from_one and 1 in numbers:
        return 1, f"{what} begin at 1: 1 is subtracted from each (`--label-base 0` keeps them)."
    if dense or high == len(class_names()):
        raise DatasetInvalid(
            f"{what} are {min(numbers):,} to {high:,} without a 0, and nothing says how many "
            f"classes there are: say `--label-base 1` ({high:,} classes) or `--label-base 0` "
            f"({high + 1:,} classes), or give the classes with `--classes FILE`{ON_THE_PAGE}."
        )
    return 0, None

"""The 1,000 ILSVRC2012 classes in their official order (class index = rank of the wnid)."""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from pathlib import Path

WNID = re.compile(r"n\d{8}")


@lru_cache(maxsize=1)
def _rows() -> list[dict[str, str]]:
    with (Path(__file__).parent / "imagenet_classes.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@lru_cache(maxsize=1)
def wnid_to_index() -> dict[str, int]:
    """Class index by WordNet id, e.g. n01440764 -> 0."""
    return {row["wnid"]: int(row["index"]) for row in _rows()}


@lru_cache(maxsize=1)
def class_names() -> tuple[str, ...]:
    """Names in index order. They are not unique ("crane" occurs twice): score by index."""
    return tuple(row["name"] for row in _rows())

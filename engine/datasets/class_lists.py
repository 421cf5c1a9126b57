"""Class lists: the names of classes in the order of a network's outputs.

A text file with a name a line (`n01440764 tench` and `0 tench` too), or JSON: a list, an object
`{"0": ["n01440764", "tench"]}` or `{"tench": 0}`, or the `id2label` of a model's configuration.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.datasets import imagenet
from engine.datasets.classes import ClassSource
from engine.datasets.folders import suffix_of, suffixes
from engine.datasets.numbering import MOST_CLASSES
from engine.datasets.text_files import json_of, read_text
from engine.errors import DatasetInvalid

_NUMBERED = re.compile(r"(\d{1,9})\s*[\s,:;]\s*(\S.*)")
_WITH_WNID = re.compile(r"(n\d{8})[\s,:;]+(\S.*)")
_KEYS = ("id2label", "label2id", "label_names", "classes", "names", "class_names", "labels")


@dataclass(frozen=True, slots=True)
class ClassList:
    """Names by class index, and the index of every word that names one class alone."""

    names: tuple[str, ...]
    index_of: dict[str, int]
    plain: dict[str, int]
    source: ClassSource

    def __len__(self) -> int:
        return len(self.names)

    def find(self, word: str) -> int | None:
        """The index of a class, in the end without regard to case, dashes and underscores."""
        return self.index_of.get(word, self.plain.get(_plain(word)))


@lru_cache(maxsize=1)
def imagenet_list() -> ClassList:
    """ImageNet's 1,000, by wnid or by name where that is the only one."""
    named = zip(imagenet.wnid_to_index(), imagenet.class_names(), strict=True)
    return _class_list([[wnid, name, name.partition(",")[0]] for wnid, name in named])


def read_class_list(path: Path) -> ClassList:
    """Reads a class list. Raises DatasetInvalid naming what it is not."""
    text = read_text(path, "The class list")
    entries = _of_json(path, text) if text.lstrip()[:1] in ("{", "[") else _of_lines(path, text)
    if not entries:
        raise DatasetInvalid(f"{path.name} holds no class names; one a line is expected.")
    if len(entries) > MOST_CLASSES:
        raise DatasetInvalid(f"{path.name} holds {len(entries):,} names: no list of classes.")
    if any(suffix_of(cell) in suffixes() for cell in re.split(r"[\s,;]+", entries[-1][-1])):
        raise DatasetInvalid(
            f"{path.name} names images: it is a label file (`--labels`), not a list of classes."
        )
    if [entry[0] for entry in entries] == list(imagenet.wnid_to_index()):
        return imagenet_list()
    return _class_list(entries)


def _class_list(entries: Sequence[Sequence[str]]) -> ClassList:
    index_of = _unique(entries)
    plain = _unique([[_plain(word) for word in entry] for entry in entries])
    wnids = imagenet.wnid_to_index()
    if len(entries) == len(wnids) and all(wnids.get(e[0]) == i for i, e in enumerate(entries)):
        return ClassList(imagenet.class_names(), index_of, plain, ClassSource.INDICES)
    return ClassList(tuple(_shown(entry) for entry in entries), index_of, plain, ClassSource.LIST)


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]+", " ", word).strip().casefold()


def _unique(entries: Sequence[Sequence[str]]) -> dict[str, int]:
    """The index of each word that is of one entry alone."""
    counts = Counter(word for entry in entries for word in dict.fromkeys(entry))
    return {word: i for i, entry in enumerate(entries) for word in entry if counts[word] == 1}


def _shown(entry: Sequence[str]) -> str:
    """The name that people read; wnids are names where nothing else is."""
    plain = [word for word in entry if not imagenet.WNID.fullmatch(word)]
    return plain[0] if plain else entry[0]


def _of_lines(path: Path, text: str) -> list[list[str]]:
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not line:
            raise DatasetInvalid(
                f"{path.name}, line {number}: an empty line among the names would move all later "
                f"classes; remove it, or name the class."
            )
    lines = _without_numbers(lines)
    split = [_WITH_WNID.fullmatch(line) for line in lines]
    if lines and all(split):
        return [[found[1], found[2].strip()] for found in split if found]
    return [[line.strip("\"'")] for line in lines]


def _without_numbers(lines: list[str]) -> list[str]:
    """Lines whose number stands before the name, in order from 0 or 1, without it.

    One line before them, such as `index,name`, is a heading.
    """
    for body in (lines, lines[1:]):
        found = [_NUMBERED.fullmatch(line) for line in body]
        numbers = [int(one[1]) for one in found if one]
        in_order = [list(range(base, base + len(body))) for base in (0, 1)]
        if len(body) > 1 and numbers in in_order:
            return [one[2].strip() for one in found if one]
    return lines


def _of_json(path: Path, text: str) -> list[list[str]]:
    data = json_of(path, text)
    if isinstance(data, dict):
        data = next((data[key] for key in _KEYS if isinstance(data.get(key), dict | list)), data)
    pairs = _pairs(data)
    if pairs is None:
        raise DatasetInvalid(
            f"{path.name} is no class list: a JSON list of names is expected, or an object "
            f'{{"0": "name"}} or {{"name": 0}}.'
        )
    base = min((index for index, _ in pairs), default=0)
    found = dict(pairs)
    if base not in (0, 1) or sorted(found) != list(range(base, base + len(pairs))):
        raise DatasetInvalid(
            f"{path.name}: the classes must be numbered 0 to {len(pairs) - 1}, each once; they are "
            f"{min(found, default=0)} to {max(found, default=0)}, {len(found)} of them."
        )
    return [found[index] for index in sorted(found)]


def _pairs(data: Any) -> list[tuple[int, list[str]]] | None:
    """(index, words) of each class; None where the data is of no known form."""
    if isinstance(data, list):
        rows = list(enumerate(data))
    elif isinstance(data, dict) and all(re.fullmatch(r"\d{1,9}", key) for key in data) and data:
        rows = [(int(key), value) for key, value in data.items()]
        if all(type(value) is int for value in data.values()):
            rows = [(value, key) for key, value in data.items()]
    elif isinstance(data, dict) and all(type(value) is int for value in data.values()):
        rows = [(value, key) for key, value in data.items()]
    else:
        return None
    found = [(index, _words(value)) for index, value in rows]
    return None if any(not words for _, words in found) else found


def _words(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int) and not isinstance(one, bool) for one in values):
        return []
    return [str(one).strip() for one in values if str(one).strip()]

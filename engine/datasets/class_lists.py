"""Class lists: class names in the order of a model's outputs.

Formats: a text file with one name per line (also `n01440764 tench` or `0 tench`), or JSON: a list,
an object `{"0": ["n01440764", "tench"]}` or `{"tench": 0}`, or the `id2label` of a model
configuration.
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
from engine.datasets.numbering import MAX_CLASSES
from engine.datasets.text_files import parse_json_text, read_text
from engine.errors import DatasetInvalid

_NUMBERED = re.compile(r"(\d{1,9})\s*[\s,:;]\s*(\S.*)")
_WITH_WNID = re.compile(r"(n\d{8})[\s,:;]+(\S.*)")
_KEYS = ("id2label", "label2id", "label_names", "classes", "names", "class_names", "labels")


@dataclass(frozen=True, slots=True)
class ClassList:
    """Class names in index order; `index_of` maps each word that identifies exactly one class.

    `normalized` is the same map for words as `_normalize` returns them.
    """

    names: tuple[str, ...]
    index_of: dict[str, int]
    normalized: dict[str, int]
    source: ClassSource

    def __len__(self) -> int:
        return len(self.names)

    def find(self, word: str) -> int | None:
        """The index of a class: an exact match, else one that ignores case, dashes, underscores."""
        return self.index_of.get(word, self.normalized.get(_normalize(word)))


@lru_cache(maxsize=1)
def imagenet_class_list() -> ClassList:
    """The 1,000 ImageNet classes, found by wnid or by unique name."""
    pairs = zip(imagenet.wnid_to_index(), imagenet.class_names(), strict=True)
    return _class_list([[wnid, name, name.partition(",")[0]] for wnid, name in pairs])


def read_class_list(path: Path) -> ClassList:
    """Reads a class list. Raises DatasetInvalid with the reason if the file is not one."""
    text = read_text(path, "The class list")
    is_json = text.lstrip()[:1] in ("{", "[")
    entries = _entries_from_json(path, text) if is_json else _entries_from_lines(path, text)
    if not entries:
        raise DatasetInvalid(f"{path.name} contains no class names; give one name per line.")
    if len(entries) > MAX_CLASSES:
        raise DatasetInvalid(
            f"{path.name} is not a class list: it has {len(entries):,} names, and at most "
            f"{MAX_CLASSES:,} are supported."
        )
    if any(suffix_of(cell) in suffixes() for cell in re.split(r"[\s,;]+", entries[-1][-1])):
        raise DatasetInvalid(
            f"{path.name} contains image names: it is a label file (`--labels`), not a class list."
        )
    if [entry[0] for entry in entries] == list(imagenet.wnid_to_index()):
        return imagenet_class_list()
    return _class_list(entries)


def _class_list(entries: Sequence[Sequence[str]]) -> ClassList:
    index_of = _unique_words(entries)
    normalized = _unique_words([[_normalize(word) for word in entry] for entry in entries])
    wnids = imagenet.wnid_to_index()
    if len(entries) == len(wnids) and all(wnids.get(e[0]) == i for i, e in enumerate(entries)):
        return ClassList(imagenet.class_names(), index_of, normalized, ClassSource.INDICES)
    names = tuple(_display_name(entry) for entry in entries)
    return ClassList(names, index_of, normalized, ClassSource.LIST)


def _normalize(word: str) -> str:
    return re.sub(r"[\s_-]+", " ", word).strip().casefold()


def _unique_words(entries: Sequence[Sequence[str]]) -> dict[str, int]:
    """The index of each word that occurs in one entry only."""
    counts = Counter(word for entry in entries for word in dict.fromkeys(entry))
    return {word: i for i, entry in enumerate(entries) for word in entry if counts[word] == 1}


def _display_name(entry: Sequence[str]) -> str:
    """The first word that is not a wnid; the wnid if there is no other word."""
    names = [word for word in entry if not imagenet.WNID.fullmatch(word)]
    return names[0] if names else entry[0]


def _entries_from_lines(path: Path, text: str) -> list[list[str]]:
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not line:
            raise DatasetInvalid(
                f"{path.name}, line {number}: an empty line would shift the index of all later "
                f"classes; remove it, or give the class a name."
            )
    lines = _without_numbers(lines)
    matches = [_WITH_WNID.fullmatch(line) for line in lines]
    if lines and all(matches):
        return [[match[1], match[2].strip()] for match in matches if match]
    return [[line.strip("\"'")] for line in lines]


def _without_numbers(lines: list[str]) -> list[str]:
    """Removes a number before each name, if the numbers count up from 0 or 1.

    The first line may be a header, such as `index,name`.
    """
    for body in (lines, lines[1:]):
        matches = [_NUMBERED.fullmatch(line) for line in body]
        numbers = [int(match[1]) for match in matches if match]
        in_order = [list(range(base, base + len(body))) for base in (0, 1)]
        if len(body) > 1 and numbers in in_order:
            return [match[2].strip() for match in matches if match]
    return lines


def _entries_from_json(path: Path, text: str) -> list[list[str]]:
    data = parse_json_text(path, text)
    if isinstance(data, dict):
        data = next((data[key] for key in _KEYS if isinstance(data.get(key), dict | list)), data)
    pairs = _pairs(data)
    if pairs is None:
        raise DatasetInvalid(
            f"{path.name} is not a class list: as JSON, a list of names is expected, or an object "
            f'{{"0": "name"}} or {{"name": 0}}.'
        )
    base = min((index for index, _ in pairs), default=0)
    entries = dict(pairs)
    if base not in (0, 1) or sorted(entries) != list(range(base, base + len(pairs))):
        raise DatasetInvalid(
            f"{path.name}: the classes must be numbered 0 to {len(pairs) - 1}, each number once; "
            f"it has {len(entries)} numbers from {min(entries, default=0)} to "
            f"{max(entries, default=0)}."
        )
    return [entries[index] for index in sorted(entries)]


def _pairs(data: Any) -> list[tuple[int, list[str]]] | None:
    """(index, words) of each class; None if the data has no supported form."""
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
    pairs = [(index, _words(value)) for index, value in rows]
    return None if any(not words for _, words in pairs) else pairs


def _words(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in values):
        return []
    return [str(item).strip() for item in values if str(item).strip()]

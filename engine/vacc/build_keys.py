"""Reads the keys of a build file into a draft, by a table of rules.

Each key is read, listed as ignored, corrected if misspelled, or reported as unknown.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from db.enums import Precision
from engine.errors import VaccFileInvalid
from engine.specs import CalibrationMode
from engine.text import cut, quoted
from engine.vacc.yaml_text import Entry, iterate_leaves

Keys = tuple[str, ...]
ANY = "*"  # matches any last key
MIN_SIMILARITY = 0.85  # of a misspelled key to a known one; ratio of difflib
MAX_KEY_LENGTH = 80


def dotted_name(keys: Keys) -> str:
    """Keys from the root, joined by dots, for messages."""
    return cut(".".join(keys), MAX_KEY_LENGTH)


@dataclass
class Draft:
    """Fields read so far; `lines` holds the line on which each was set."""

    file: str
    name: str = ""
    checkpoint: str = ""
    weights_key: str | None = None
    input_name: str = ""
    shape: tuple[int, ...] = ()
    precision: Precision | None = None
    softmax: bool = False
    mode: CalibrationMode = CalibrationMode.MAX
    percentile: float | None = None
    per_channel: bool = True
    keep_in_float: tuple[int, ...] = ()
    dataset: str | None = None
    suffix: str = "JPEG"
    images: int | None = None
    ops: list[Entry] | None = None
    workspace: str = "."
    frontend: str = "onnx"
    dtype: str = "fp32"
    lines: dict[str, int] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    table: Mapping[Keys, Rule] = field(default_factory=dict)

    def key_of(self, field_: str) -> str:
        """The dotted name of the key that sets a field, for messages."""
        keys = next((k for k, rule in self.table.items() if rule.field == field_), (field_,))
        return ".".join("<input name>" if key == ANY else key for key in keys)


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of a key: `apply` sets fields; without it `note` says why the key is ignored."""

    apply: Callable[[Draft, Keys, Entry], None] | None = None
    field: str = ""
    note: str = ""


def fill_draft(draft: Draft, root: Entry, table: Mapping[Keys, Rule]) -> None:
    """Reads all keys of the file; keys without effect go to `ignored` or `warnings`."""
    draft.table = table
    for keys, entry in iterate_leaves(root):
        rule, known_keys = _find_rule(keys, table)
        if rule is None:
            if entry.value is None or not _is_block(keys, table):
                _warn_unknown(draft, keys, entry, table)
                continue
            raise VaccFileInvalid(
                f"{draft.file}, line {entry.line}: {dotted_name(keys)} is "
                f"{quoted(entry.plain(), 60)}; expected: a block of keys."
            )
        if known_keys != keys:
            draft.warnings.append(
                f"{draft.file}, line {entry.line}: {dotted_name(keys)} is misspelled; it was "
                f"read as {dotted_name(known_keys)}."
            )
        if rule.apply is None:
            draft.ignored.append(
                f"{draft.file}, line {entry.line}: {dotted_name(keys)} {rule.note}"
            )
            continue
        rule.apply(draft, known_keys, entry)
        draft.lines[rule.field] = entry.line


def _find_rule(keys: Keys, table: Mapping[Keys, Rule]) -> tuple[Rule | None, Keys]:
    for candidate in (keys, (*keys[:-1], ANY)):
        if candidate in table:
            return table[candidate], keys
    closest = _closest_keys(keys, table)
    return (table.get(closest), closest) if closest else (None, keys)


def _closest_keys(keys: Keys, table: Mapping[Keys, Rule]) -> Keys | None:
    """The known keys most similar to misspelled ones, level by level; None if none is similar."""
    closest: Keys = ()
    if any(len(key) > MAX_KEY_LENGTH for key in keys):
        return None
    for level, key in enumerate(keys):
        names = {
            table_keys[level]
            for table_keys in table
            if len(table_keys) > level and table_keys[:level] == closest
        } - {ANY}
        similar = difflib.get_close_matches(key, sorted(names), n=1, cutoff=MIN_SIMILARITY)
        swapped = [name for name in sorted(names) if sorted(name) == sorted(key)]
        if not similar + swapped:
            return None
        closest = (*closest, (similar + swapped)[0])
    return closest


def _is_block(keys: Keys, table: Mapping[Keys, Rule]) -> bool:
    return any(table_keys[: len(keys)] == keys for table_keys in table)


def _warn_unknown(draft: Draft, keys: Keys, entry: Entry, table: Mapping[Keys, Rule]) -> None:
    if not _is_block(keys, table):  # a known block may be empty
        draft.warnings.append(
            f"{draft.file}, line {entry.line}: {dotted_name(keys)} is unknown and has no effect."
        )


def invalid_value(draft: Draft, keys: Keys, entry: Entry, allowed: str) -> VaccFileInvalid:
    """The error of an invalid value: file, line, the value and the allowed values."""
    shown = quoted(entry.plain(), 60)
    return VaccFileInvalid(
        f"{draft.file}, line {entry.line}: {dotted_name(keys)} is {shown}; allowed: {allowed}."
    )


def text_key(name: str) -> Rule:
    """The rule of a text, such as a name or a path."""

    def apply(draft: Draft, keys: Keys, entry: Entry) -> None:
        value = entry.value
        if not isinstance(value, str | int | float) or not str(value).strip():
            raise invalid_value(draft, keys, entry, "a word or a path")
        setattr(draft, name, str(value).strip())

    return Rule(apply, name)


def choice_key(name: str, values: Mapping[Any, Any], allowed: str | None = None) -> Rule:
    """The rule of a key with a fixed set of values; `values` maps each to the field's value."""

    def apply(draft: Draft, keys: Keys, entry: Entry) -> None:
        # True equals 1 in Python, not in a build file.
        matches = [
            v for k, v in values.items() if k == entry.value and type(k) is type(entry.value)
        ]
        if not matches:
            words = allowed or ", ".join("null" if v is None else str(v).lower() for v in values)
            raise invalid_value(draft, keys, entry, words)
        setattr(draft, name, matches[0])

    return Rule(apply, name)


def int_key(name: str, low: int, high: int) -> Rule:
    """The rule of an integer within limits."""

    def apply(draft: Draft, keys: Keys, entry: Entry) -> None:
        if type(entry.value) is not int or not low <= entry.value <= high:
            raise invalid_value(draft, keys, entry, f"an integer from {low} to {high:,}")
        setattr(draft, name, entry.value)

    return Rule(apply, name)


def ignored_key(reason: str = "concerns the vendor's chip and has no effect here.") -> Rule:
    """The rule of a known key without effect."""
    return Rule(note=reason)

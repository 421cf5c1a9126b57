"""Fills a draft from a build file by a table of keys: read, of no effect here, or misspelled."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from db.enums import Precision
from engine.errors import VaccFileInvalid
from engine.specs import CalibrationMode
from engine.text import cut, quoted
from engine.vacc.yaml_text import Entry, leaves

Keys = tuple[str, ...]
ANY = "*"
LIKE = 0.85  # how alike a misspelled key must be to the one that is meant
MOST_SHOWN = 80


def dotted(keys: Keys) -> str:
    """Keys from the root as messages name them."""
    return cut(".".join(keys), MOST_SHOWN)


@dataclass
class Draft:
    """What is known so far; `lines` holds where each field was set."""

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
        """The dotted key that sets a field, for messages."""
        found = next((k for k, rule in self.table.items() if rule.field == field_), (field_,))
        return ".".join("<input name>" if key == ANY else key for key in found)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a key means: `apply` sets fields; `note` says why a key has no effect."""

    apply: Callable[[Draft, Keys, Entry], None] | None = None
    field: str = ""
    note: str = ""


def fill(draft: Draft, root: Entry, table: Mapping[Keys, Rule]) -> None:
    """Reads every key of the file; each is used, or named in `ignored` or `warnings`."""
    draft.table = table
    for keys, entry in leaves(root):
        rule, meant = _rule_of(keys, table)
        if rule is None:
            if entry.value is None or not _is_block(keys, table):
                _unknown(draft, keys, entry, table)
                continue
            raise VaccFileInvalid(
                f"{draft.file}, line {entry.line}: {dotted(keys)} is {quoted(entry.plain(), 60)}; "
                f"a block of keys is expected."
            )
        if meant != keys:
            draft.warnings.append(
                f"{draft.file}, line {entry.line}: {dotted(keys)} is misspelled; it was read as "
                f"{dotted(meant)}."
            )
        if rule.apply is None:
            draft.ignored.append(f"{draft.file}, line {entry.line}: {dotted(keys)} {rule.note}")
            continue
        rule.apply(draft, meant, entry)
        draft.lines[rule.field] = entry.line


def _rule_of(keys: Keys, table: Mapping[Keys, Rule]) -> tuple[Rule | None, Keys]:
    for known in (keys, (*keys[:-1], ANY)):
        if known in table:
            return table[known], keys
    meant = _meant(keys, table)
    return (table.get(meant), meant) if meant else (None, keys)


def _meant(keys: Keys, table: Mapping[Keys, Rule]) -> Keys | None:
    """The known key that is one slip away, judged level by level."""
    meant: Keys = ()
    if any(len(key) > MOST_SHOWN for key in keys):
        return None
    for level, key in enumerate(keys):
        names = {
            known[level] for known in table if len(known) > level and known[:level] == meant
        } - {ANY}
        close = difflib.get_close_matches(key, sorted(names), n=1, cutoff=LIKE)
        swapped = [name for name in sorted(names) if sorted(name) == sorted(key)]
        if not close + swapped:
            return None
        meant = (*meant, (close + swapped)[0])
    return meant


def _is_block(keys: Keys, table: Mapping[Keys, Rule]) -> bool:
    return any(known[: len(keys)] == keys for known in table)


def _unknown(draft: Draft, keys: Keys, entry: Entry, table: Mapping[Keys, Rule]) -> None:
    if not _is_block(keys, table):  # a known block may be left empty
        draft.warnings.append(
            f"{draft.file}, line {entry.line}: {dotted(keys)} is not known here and has no effect."
        )


def wrong(draft: Draft, keys: Keys, entry: Entry, allowed: str) -> VaccFileInvalid:
    """The refusal of a value: file, line, what it is and what is allowed."""
    shown = quoted(entry.plain(), 60)
    return VaccFileInvalid(
        f"{draft.file}, line {entry.line}: {dotted(keys)} is {shown}; allowed: {allowed}."
    )


def text(name: str) -> Rule:
    """A word or a path."""

    def apply(draft: Draft, keys: Keys, entry: Entry) -> None:
        value = entry.value
        if not isinstance(value, str | int | float) or not str(value).strip():
            raise wrong(draft, keys, entry, "a word or a path")
        setattr(draft, name, str(value).strip())

    return Rule(apply, name)


def choice(name: str, values: Mapping[Any, Any], allowed: str | None = None) -> Rule:
    """One of a few values, each with its meaning."""

    def apply(draft: Draft, keys: Keys, entry: Entry) -> None:
        # True equals 1 in Python, not in a build file.
        found = [v for k, v in values.items() if k == entry.value and type(k) is type(entry.value)]
        if not found:
            words = allowed or ", ".join("null" if v is None else str(v).lower() for v in values)
            raise wrong(draft, keys, entry, words)
        setattr(draft, name, found[0])

    return Rule(apply, name)


def whole(name: str, low: int, high: int) -> Rule:
    """A whole number within limits."""

    def apply(draft: Draft, keys: Keys, entry: Entry) -> None:
        if type(entry.value) is not int or not low <= entry.value <= high:
            raise wrong(draft, keys, entry, f"a whole number from {low} to {high:,}")
        setattr(draft, name, entry.value)

    return Rule(apply, name)


def no_effect(why: str = "concerns the vendor's chip and has no effect here.") -> Rule:
    """A key that is known and does nothing."""
    return Rule(note=why)

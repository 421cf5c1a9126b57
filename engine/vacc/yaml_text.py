"""Parses YAML into data with line numbers; tags that could run code are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from engine.errors import VaccFileInvalid
from engine.text import cut, quoted, unprintable

MAX_BYTES = 200_000
MAX_ENTRIES = 20_000
MAX_DEPTH = 30
_SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader where PyYAML was built with it: 15 times as fast, and it bounds nesting."""
_SCALAR_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
_TEXT_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "value")}
_BLOCK_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq")}


@dataclass(frozen=True, slots=True)
class Entry:
    """A value with its line: a dict or list of entries, or a scalar."""

    value: Any
    line: int

    def plain(self) -> Any:
        """The value as plain Python data, without lines."""
        if isinstance(self.value, dict):
            return {key: entry.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [entry.plain() for entry in self.value]
        return self.value


def read_yaml(path: Path) -> Entry:
    """Reads a YAML file. Raises VaccFileInvalid if it is unreadable, not a mapping, or tagged."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise VaccFileInvalid(
                f"{path} is larger than {MAX_BYTES / 1e3:.0f} kB: it is not a build file."
            )
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise VaccFileInvalid(f"{path} cannot be read: {reason}.") from error
    return parse_yaml(text, path.name)


def parse_yaml(text: str, name: str) -> Entry:
    """As `read_yaml`, from text; `name` is the file name in messages."""
    try:
        loader = _SAFE_LOADER(text)
        node = loader.get_single_node()
    except RecursionError as error:
        raise VaccFileInvalid(f"{name} is nested too deeply for a build file.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        if "nesting depth" in what:
            raise VaccFileInvalid(f"{name} is nested too deeply for a build file.") from error
        raise VaccFileInvalid(f"{name}{where}: this is not YAML ({cut(what)}).") from error
    except ValueError as error:  # a scalar that does not fit its tag
        raise VaccFileInvalid(f"{name}: this is not YAML ({error}).") from error
    if not isinstance(node, yaml.MappingNode):
        raise VaccFileInvalid(f"{name} has no keys at its top level: it is not a build file.")
    return _Converter(name, loader).convert(node, 0)


class _Converter:
    """Converts nodes to entries and counts them, because YAML aliases can multiply the data."""

    def __init__(self, name: str, loader: SafeConstructor) -> None:
        self.name, self.loader, self.entries = name, loader, 0

    def convert(self, node: yaml.Node, depth: int) -> Entry:
        line = node.start_mark.line + 1
        self.entries += 1
        if depth > MAX_DEPTH or self.entries > MAX_ENTRIES:
            raise VaccFileInvalid(f"{self.name}, line {line}: nested too deeply for a build file.")
        if node.tag not in _SCALAR_TAGS | _TEXT_TAGS | _BLOCK_TAGS:
            tag = node.tag.removeprefix("tag:yaml.org,2002:")
            raise VaccFileInvalid(
                f"{self.name}, line {line}: the tag !!{tag} is not data and is never executed; "
                f"remove it."
            )
        if isinstance(node, yaml.MappingNode):
            pairs = self._pairs(node, depth)
            return Entry(dict(pairs), line)
        if isinstance(node, yaml.SequenceNode):
            return Entry([self.convert(item, depth + 1) for item in node.value], line)
        if node.tag in _TEXT_TAGS:
            return Entry(str(node.value), line)
        try:
            return Entry(_valid_scalar(self.loader.construct_object(node)), line)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise VaccFileInvalid(
                f"{self.name}, line {line}: {quoted(str(node.value), 40)} is not a valid value."
            ) from error

    def _pairs(self, node: yaml.MappingNode, depth: int) -> Iterator[tuple[str, Entry]]:
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                raise VaccFileInvalid(f"{self.name}, line {line}: a key must be a single word.")
            if unprintable(key.value) is not None:
                raise VaccFileInvalid(
                    f"{self.name}, line {key.start_mark.line + 1}: the key "
                    f"{quoted(key.value, 40)} cannot be printed."
                )
            yield str(key.value), self.convert(value, depth + 1)


def _valid_scalar(value: Any) -> Any:
    """The scalar; raises ValueError for numbers that are not finite or reach 2^63."""
    if isinstance(value, int | float) and not abs(value) < 2**63:
        raise ValueError("not a finite number")
    if isinstance(value, str) and unprintable(value) is not None:
        raise ValueError("not printable")
    return value


def iterate_leaves(
    entry: Entry, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Entry]]:
    """Pairs of (keys from the root, entry) of all values that are not mappings."""
    for key, value in entry.value.items():
        if isinstance(value.value, dict):
            yield from iterate_leaves(value, (*path, key))
        else:
            yield (*path, key), value

"""The names of timm's models, read from the sources of the installed timm without importing it."""

from __future__ import annotations

import difflib
import json
import re
from collections import defaultdict
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from engine.common.files import write_text
from engine.config import settings

_REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)
_CONFIGURED = re.compile(r"^\s*['\"](\w+)\.([\w.-]+)['\"]\s*:", re.MULTILINE)


@lru_cache(maxsize=1)
def timm_names() -> dict[str, tuple[str, ...]]:
    """The tags of the weights of every architecture, by its name; empty without timm.

    The list is kept in the home, one file for each version of timm.
    """
    source = find_spec("timm")
    folders = source.submodule_search_locations if source is not None else None
    if not folders:
        return {}
    path = settings().home / "cache" / f"timm-{version('timm')}.json"
    try:
        return {name: tuple(tags) for name, tags in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        names = _read(Path(folders[0]) / "models")
        settings().folder("cache")
        write_text(path, json.dumps(names))
        return names


def _read(folder: Path) -> dict[str, tuple[str, ...]]:
    names: set[str] = set()
    tags: dict[str, set[str]] = defaultdict(set)
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        names.update(_REGISTERED.findall(text))
        for name, tag in _CONFIGURED.findall(text):
            tags[name].add(tag)
    return {name: tuple(sorted(tags[name])) for name in sorted(names)}


def timm_name_problem(name: str) -> str | None:
    """Why timm has no such model, with close matches; None where it has, or is not installed."""
    names = timm_names()
    base, _, tag = name.partition(".")
    if not names or (base in names and not tag):
        return None
    if base not in names:
        close = difflib.get_close_matches(base, names, n=3)
        hint = f"Did you mean {', '.join(close)}?" if close else "New run completes the names."
        return f"timm has no model {name!r}. {hint}"
    if tag in names[base]:
        return None
    tags = ", ".join(f"{base}.{known}" for known in names[base][:3])
    hint = f"It has {tags}." if tags else "It has no published weights."
    return f"timm has no weights {name!r} of {base}. {hint}"


if __name__ == "__main__":
    from engine.common.error_sentences import errors_as_sentences

    with errors_as_sentences():
        print(f"{len(timm_names()):,} timm models can be named.")

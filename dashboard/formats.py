"""Numbers, times and names as text for the pages."""

from __future__ import annotations

import math
import re
from typing import Any

from engine.text import (
    MINUS,
    MISSING,
    ago,
    duration,
    is_missing,
    number,
    plural,
    printable,
    short,
    signed,
    size,
)

__all__ = [
    "MINUS",
    "MISSING",
    "ago",
    "duration",
    "escape_markdown",
    "is_missing",
    "message",
    "number",
    "plural",
    "short",
    "signed",
    "significant",
    "size",
]

_CODE = re.compile(r"(`[^`]+`)")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|$:~<>&^=])")


def escape_markdown(text: str) -> str:
    """Text of a user or a file, with markup, directives and links escaped."""
    return _MARKDOWN.sub(r"\\\1", printable(" ".join(text.split())))


def message(text: str) -> str:
    """A message of the engine: commands in backticks as code, other markup escaped."""
    parts = _CODE.split(printable(" ".join(text.split())))
    return "".join(part if i % 2 else _MARKDOWN.sub(r"\\\1", part) for i, part in enumerate(parts))


def significant(value: Any, digits: int = 3) -> str:
    """A number with three significant digits, without exponent: 0.0123, 4.14, 1,230."""
    if is_missing(value):
        return MISSING
    figure = float(value)
    if figure == 0 or not math.isfinite(figure):
        return f"{figure:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(figure))))
    return f"{figure:,.{decimals}f}"

"""Numbers, times and names as text for the pages."""

from __future__ import annotations

import math
import re
import time
from typing import Any

from engine.text import (
    MINUS,
    MISSING,
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


def ago(epoch: float | None, now: float | None = None) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 days ago`."""
    if epoch is None:
        return MISSING
    seconds = (time.time() if now is None else now) - epoch
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 2 * 86400:
        return f"{int(seconds // 3600)} h ago"
    return f"{int(seconds // 86400)} days ago"

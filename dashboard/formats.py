"""Numbers, times and names as people read them; pure text."""

from __future__ import annotations

import math
import re
import time
from typing import Any

from engine.text import printable

MISSING = "–"
MINUS = "−"
_CODE = re.compile(r"(`[^`]+`)")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|$:~<>&^=])")


def escape_markdown(text: str) -> str:
    """Text that a user or a file gave, to be shown as it is: no markup, no directive, no link."""
    return _MARKDOWN.sub(r"\\\1", printable(" ".join(text.split())))


def message(text: str) -> str:
    """A sentence of the engine: commands in backticks as code, and the rest as it is."""
    parts = _CODE.split(printable(" ".join(text.split())))
    return "".join(part if i % 2 else _MARKDOWN.sub(r"\\\1", part) for i, part in enumerate(parts))


def is_missing(value: Any) -> bool:
    """Whether a table's cell holds nothing: None, NaN or NaT."""
    return value is None or value != value


def number(value: Any, digits: int = 1) -> str:
    """`1,234.5`, or a dash where there is none."""
    return MISSING if is_missing(value) else f"{float(value):,.{digits}f}"


def significant(value: Any, digits: int = 3) -> str:
    """A positive figure at three significant digits, never in exponents: 0.0123, 4.14, 1,230."""
    if is_missing(value):
        return MISSING
    figure = float(value)
    if figure == 0 or not math.isfinite(figure):
        return f"{figure:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(figure))))
    return f"{figure:,.{decimals}f}"


def signed(value: float, digits: int = 1) -> str:
    """`+1.2` or `−1.2`, with a real minus; `0.0` has no sign."""
    text = f"{abs(value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def duration(seconds: float | None) -> str:
    """`45 s`, `2 min 5 s`, `3 h 4 min`."""
    if seconds is None:
        return MISSING
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


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


def size(num_bytes: float) -> str:
    """`1.4 MB`, `2.1 GB` (powers of ten)."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:,.1f} {unit}"
    return f"{num_bytes:.0f} bytes"


def short(digest: str) -> str:
    """The first twelve characters of a digest, enough to tell it from any other here."""
    return digest[:12]


def plural(count: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

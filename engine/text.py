"""Text and numbers inside messages and tables: printable, limited in length."""

from __future__ import annotations

import re
import time
from typing import Any

MISSING = "–"
MINUS = "−"
MAX_QUOTED = 200
MAX_SENTENCE = 2000
# Control characters except tab and line feed, bidirectional marks, line and paragraph separators,
# and lone surrogates (bytes of a file name that are not UTF-8).
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_LONG_WORD = re.compile(rf"\S{{{MAX_QUOTED + 1},}}")


def printable(text: str) -> str:
    r"""The text with unprintable characters written as escapes, e.g. `\x1b`."""
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def unprintable(text: str) -> str | None:
    """The first unprintable character, written as its escape; None if there is none."""
    found = _UNPRINTABLE.search(text)
    return printable(found.group()) if found else None


def cut(text: str, most: int = MAX_QUOTED) -> str:
    """The text cut to `most` characters, with an ellipsis if it was longer."""
    return text if len(text) <= most else f"{text[:most]}…"


def first_line(error: BaseException, most: int = MAX_QUOTED) -> str:
    """The first line of an exception's message, with single spaces and without its full stop.

    The name of its type if the message is empty.
    """
    lines = str(error).strip().splitlines()
    line = " ".join(lines[0].split()) if lines else type(error).__name__
    return cut(line, most).rstrip(".")


def quoted(content: object, most: int = MAX_QUOTED) -> str:
    """Content of a file or an option for a message: in quotes, printable and cut."""
    text = _as_text(content)
    shown = repr(text[:most])
    if len(shown) > most + 2 or len(text) > most:
        shown = f"{shown[: most + 1].removesuffix(shown[-1])}…{shown[-1]}"
    return shown


def shown(content: object, most: int = MAX_QUOTED) -> str:
    """Like `quoted`, but without quotes around numbers and lists."""
    if isinstance(content, str):
        return quoted(content, most)
    return cut(printable(_as_text(content)), most)


def _as_text(content: object) -> str:
    try:
        return str(content)
    except (ValueError, RecursionError):  # integers over 4,300 digits, deep nesting
        return f"a {type(content).__name__} too large to show"


def sentence(text: str) -> str:
    """A message for users: printable, long words shortened, at most MAX_SENTENCE characters."""
    shortened = _LONG_WORD.sub(lambda found: cut(found.group()), text[: 50 * MAX_SENTENCE])
    return cut(printable(shortened), MAX_SENTENCE)


def is_missing(value: Any) -> bool:
    """Whether a table's cell holds nothing: None, NaN or NaT."""
    return value is None or bool(value != value)


def number(value: Any, digits: int = 1) -> str:
    """`1,234.5`, or a dash where there is none."""
    return MISSING if is_missing(value) else f"{float(value):,.{digits}f}"


def signed(value: float, digits: int = 1) -> str:
    """`+1.2` or `−1.2`, with a real minus; `0.0` has no sign."""
    text = f"{abs(value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def short(digest: str) -> str:
    """The first twelve characters of a digest, enough to tell it from any other here."""
    return digest[:12]


def plural(count: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float | None) -> str:
    """`45 s`, `2 min 5 s`, `3 h 4 min`."""
    if seconds is None:
        return MISSING
    rounded = max(0, round(seconds))
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60} min"


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

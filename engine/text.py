"""Untrusted text inside messages and tables: printable and limited in length."""

from __future__ import annotations

import re

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

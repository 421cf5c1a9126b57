"""Text of users and files inside sentences and tables: printable, and cut to a length."""

from __future__ import annotations

import re

MOST_QUOTED = 200
MOST_SENTENCE = 2000
# Control characters but tab and line feed, marks that turn the direction of writing, line and
# paragraph separators, and lone surrogates (bytes of a file name that are no UTF-8).
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_LONG_WORD = re.compile(rf"\S{{{MOST_QUOTED + 1},}}")


def printable(text: str) -> str:
    r"""The text with what no terminal or page should receive written as an escape, e.g. `\x1b`."""
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def unprintable(text: str) -> str | None:
    """The first character that `printable` would replace, written as its escape; None without."""
    found = _UNPRINTABLE.search(text)
    return printable(found.group()) if found else None


def cut(text: str, most: int = MOST_QUOTED) -> str:
    """At most so many characters, with an ellipsis in place of what is left out."""
    return text if len(text) <= most else f"{text[:most]}…"


def first_line(error: BaseException, most: int = MOST_QUOTED) -> str:
    """The first line of what an exception says, white space made single, without its full stop.

    The name of its type where it says nothing.
    """
    lines = str(error).strip().splitlines()
    line = " ".join(lines[0].split()) if lines else type(error).__name__
    return cut(line, most).rstrip(".")


def quoted(content: object, most: int = MOST_QUOTED) -> str:
    """Content of a file or an option as a sentence quotes it: in quotes, printable and cut."""
    text = _as_text(content)
    shown = repr(text[:most])
    if len(shown) > most + 2 or len(text) > most:
        shown = f"{shown[: most + 1].removesuffix(shown[-1])}…{shown[-1]}"
    return shown


def shown(content: object, most: int = MOST_QUOTED) -> str:
    """As `quoted`, with quotes only around text: a number or a list stands for itself."""
    if isinstance(content, str):
        return quoted(content, most)
    return cut(printable(_as_text(content)), most)


def _as_text(content: object) -> str:
    try:
        return str(content)
    except (ValueError, RecursionError):  # whole numbers over 4,300 digits, deep nesting
        return f"a {type(content).__name__} too large to show"


def sentence(text: str) -> str:
    """A message as people may see it: printable, no word and no whole beyond a readable length."""
    shortened = _LONG_WORD.sub(lambda found: cut(found.group()), text[: 50 * MOST_SENTENCE])
    return cut(printable(shortened), MOST_SENTENCE)

"""Text files of people: UTF-8 with or without a mark, UTF-16, any line ends."""

from __future__ import annotations

import codecs
from pathlib import Path

from engine.errors import DatasetInvalid

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, what: str) -> str:
    """The text, without a mark; DatasetInvalid where there is none to read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetInvalid(f"{what} {path} cannot be read: {error.strerror}.") from error
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetInvalid(f"{what} {path} is no text in UTF-8: save it as UTF-8.") from error
    if "\0" in text:
        raise DatasetInvalid(f"{what} {path} is no text: it holds zero bytes.")
    return text

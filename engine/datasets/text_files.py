"""Text files of people: UTF-8 with or without a mark, UTF-16, any line ends."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from engine.common.untrusted import parse_json
from engine.errors import DatasetInvalid

MOST_BYTES = 200_000_000

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def encoding_of(data: bytes) -> str:
    """The encoding that the first bytes of a text tell: UTF-16 by its mark, else UTF-8."""
    return "utf-16" if data.startswith(_UTF_16) else "utf-8-sig"


def read_text(path: Path, what: str) -> str:
    """The text, without a mark; DatasetInvalid where there is none to read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DatasetInvalid(f"{what} {path} has over {MOST_BYTES / 1e6:.0f} MB.")
        data = path.read_bytes()
    except OSError as error:
        raise DatasetInvalid(f"{what} {path} cannot be read: {error.strerror}.") from error
    try:
        text = data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        raise DatasetInvalid(f"{what} {path} is no text in UTF-8: save it as UTF-8.") from error
    if "\0" in text:
        raise DatasetInvalid(f"{what} {path} is no text: it holds zero bytes.")
    return text


def json_of(path: Path, text: str) -> Any:
    """The JSON document of a file's text; DatasetInvalid where it is none."""
    try:
        return parse_json(text)
    except RecursionError as error:
        raise DatasetInvalid(f"{path.name} is not readable as JSON: nested too deep.") from error
    except ValueError as error:
        why = str(error).partition(";")[0]
        raise DatasetInvalid(f"{path.name} is not readable as JSON: {why}.") from error

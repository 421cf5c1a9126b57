"""Reads text files of users: UTF-8 with or without a byte order mark, UTF-16, any line endings."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from engine.common.untrusted import parse_json
from engine.errors import DatasetInvalid

MAX_BYTES = 200_000_000

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def detect_encoding(data: bytes) -> str:
    """The encoding by the first bytes: UTF-16 if they are its byte order mark, else UTF-8."""
    return "utf-16" if data.startswith(_UTF_16) else "utf-8-sig"


def read_text(path: Path, what: str) -> str:
    """The text without a byte order mark; raises DatasetInvalid if it cannot be read as text."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DatasetInvalid(f"{what} {path} is larger than {MAX_BYTES / 1e6:.0f} MB.")
        data = path.read_bytes()
    except OSError as error:
        raise DatasetInvalid(f"{what} {path} cannot be read: {error.strerror}.") from error
    try:
        text = data.decode(detect_encoding(data))
    except UnicodeDecodeError as error:
        raise DatasetInvalid(f"{what} {path} is not UTF-8 text: save it as UTF-8.") from error
    if "\0" in text:
        raise DatasetInvalid(f"{what} {path} is not a text file: it contains zero bytes.")
    return text


def parse_json_text(path: Path, text: str) -> Any:
    """Parses the text of a JSON file; raises DatasetInvalid if it is not valid JSON."""
    try:
        return parse_json(text)
    except RecursionError as error:
        raise DatasetInvalid(f"{path.name} is not valid JSON: it is nested too deep.") from error
    except ValueError as error:
        reason = str(error).partition(";")[0]
        raise DatasetInvalid(f"{path.name} is not valid JSON: {reason}.") from error

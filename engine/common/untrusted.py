"""Validation of names, numbers and JSON documents that come from users and files."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from engine.errors import InvalidRequest, WorkbenchError
from engine.text import quoted, shown, unprintable

MAX_INTEGER = 2**31 - 1  # the integer column of any database
MAX_FIGURE = 1e9  # images/s, ms, MB: a larger figure is a mistake
MAX_CLASSES = 1_000_000
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
MAX_JSON_BYTES = 100_000_000
MAX_FACTS, MAX_DEPTH, MAX_FACT_LENGTH = 1_000, 5, 2_000


def plain_name(text: str, what: str, most: int) -> str:
    """A name on one line: single spaces, 1 to `most` printable characters.

    Raises InvalidRequest, in which `what` names it.
    """
    one_line = text.replace("\n", " ").replace("\t", " ")
    if (character := unprintable(one_line)) is not None:
        raise InvalidRequest(
            f"{what} {quoted(text)} holds {character}, which cannot be printed; leave it out."
        )
    name = " ".join(one_line.split())
    if not 0 < len(name) <= most:
        raise InvalidRequest(f"{what} has {len(name):,} characters; 1 to {most} are allowed.")
    return name


def plain_facts(facts: Any, what: str) -> Any:
    """JSON-like facts, returned unchanged if every database can store them.

    Raises InvalidRequest, in which `what` names them: numbers that are not finite or over 2^63,
    text that cannot be printed, too many entries, too deep nesting.
    """
    _check_facts(facts, what, 0, [0])
    return facts


def _check_facts(value: Any, what: str, depth: int, count: list[int]) -> None:
    count[0] += 1
    if count[0] > MAX_FACTS or depth > MAX_DEPTH:
        raise InvalidRequest(
            f"{what} has more than {MAX_FACTS:,} entries or {MAX_DEPTH} levels; give fewer."
        )
    if isinstance(value, dict):
        for key, inner in value.items():
            plain_name(str(key), f"A key of {what}", 200)
            _check_facts(inner, f"{what}.{key}", depth + 1, count)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_facts(inner, what, depth + 1, count)
    elif isinstance(value, str):
        if value:
            plain_name(value, what, MAX_FACT_LENGTH)
    elif isinstance(value, int | float) and not abs(value) < 2**63:  # true for NaN as well
        raise InvalidRequest(f"{what} is {shown(value)}; a finite number below 2^63 is expected.")


def read_json(
    path: Path,
    error: type[WorkbenchError] = InvalidRequest,
    most_bytes: int = MAX_JSON_BYTES,
    lack: str = "cannot be read",
) -> Any:
    """The document of a JSON file (UTF-8).

    Raises `error` with the sentence `<file> <lack>: <why>`: unreadable, too large, not JSON, nested
    too deep, or with NaN or infinite numbers, which JSON does not have.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise ValueError(f"at most {most_bytes / 1e6:,.0f} MB are read")
        return parse_json(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise error(f"{path.name} {lack}: {problem.strerror or problem}.") from problem
    except RecursionError as problem:
        raise error(f"{path.name} {lack}: it is not JSON (nested too deep).") from problem
    except ValueError as problem:  # includes bytes that are not UTF-8
        why = str(problem).partition(";")[0].rstrip(".")
        raise error(f"{path.name} {lack}: it is not JSON ({why}).") from problem


def parse_json(text: str) -> Any:
    """A JSON document.

    Raises ValueError, also for NaN, infinite numbers and lone surrogates; RecursionError if nested
    too deep.
    """
    document = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    if _SURROGATE.search(text):
        json.dumps(document, ensure_ascii=False).encode()  # raises for a lone surrogate
    return document


def as_json(document: Any) -> str:
    """Strict JSON: numbers that are not finite become null."""
    return json.dumps(_finite_or_null(document), indent=1, default=str, allow_nan=False)


def _finite_or_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite_or_null(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite_or_null(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{quoted(text, 40)} is too large to be stored")
    return value

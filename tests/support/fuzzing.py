"""Seeded mutations of small valid files, held against the one promise of every reader.

Bytes turned at random are refused at the first check and test nothing behind it. So most mutations
keep the container whole: they change a value of a text, a member of a zip, a field of a protobuf.
"""

from __future__ import annotations

import io
import json
import random
import re
import struct
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import WorkbenchError
from engine.text import MAX_SENTENCE, printable

MUTATIONS = 2000
LEAST_PAST = 0.2
MOST_SECONDS_EACH = 5.0

Mutate = Callable[[random.Random], bytes]
# Of the bytes and of the sentence, which is empty where they were taken in.
IsPast = Callable[[bytes, str], bool]
_TOKEN = re.compile(rb"[-+]?[0-9][0-9.eE+-]*|[A-Za-z_][\w./-]*|[^\s\w]")
_NUMBERS = (
    *b"-1 0 1 7 1.5 -0.0 1e999 -1e999 NaN nan Infinity .inf .nan 0x1F 1_0 1e-320 1e30 255".split(),
    *b"65536 2147483648 4294967295 9223372036854775808 18446744073709551616".split(),
    *(b"9" * 30, b"9" * 5000, "١٢".encode()),
)
_WORDS = (
    *(b"", b"null", b"true", b"~", b"[]", b"{}", b"[/]", b"../../etc", b"=cmd|' /C calc'!A0"),
    *(b"\x00", b"\x1b[31m", b"\xff\xfe", b"\\u0000", b"\\ud800", "\u202e".encode(), b"\r\n"),
    *(b"[" * 1200, b'{"a":' * 1200, b"a" * 20_000, b"!!python/name:os.system", b"&a [*a]", b'"'),
)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many mutations there were, got past the container's own check, and were taken in."""

    mutations: int
    past: int
    taken: int


def fuzz(
    read: Callable[[Path], object],
    mutate: Mutate,
    is_past: IsPast,
    path: Path,
    count: int = MUTATIONS,
) -> Tally:
    """Reads `count` mutations at `path`; asserts that each is taken in or refused in one sentence.

    At least a fifth must get past the magic bytes (`is_past`), else nothing was tested.
    """
    past = taken = 0
    for seed in range(count):
        data = mutate(random.Random(seed))
        path.unlink(missing_ok=True)  # a file that is written over is flushed to the disk
        path.write_bytes(data)
        text, begun = "", time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
            taken += 1
        except WorkbenchError as error:
            text = str(error)
            assert 0 < len(text) <= MAX_SENTENCE + 1, f"seed {seed}: {text[:300]}"
            assert text == printable(text), f"seed {seed}: {text!r}"
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        past += is_past(data, text)
        took = time.process_time() - begun
        assert took < MOST_SECONDS_EACH, f"seed {seed} took {took:.1f} s"
    assert past >= LEAST_PAST * count, f"only {past} of {count} got past the magic bytes"
    return Tally(count, past, taken)


def magic(*beginnings: bytes, at: int = 0) -> IsPast:
    """Past are bytes that begin as files of the kind do."""
    return lambda data, sentence: data[at:].startswith(beginnings)


def not_refused_as(*reasons: str) -> IsPast:
    """Past is what was not refused for being no text, no JSON, no YAML at all."""
    return lambda data, sentence: not any(reason in sentence for reason in reasons)


def whole_zip(data: bytes, sentence: str) -> bool:
    """Past are zips whose table of contents can be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return bool(archive.infolist())
    except Exception:
        return False


def bytes_changed(data: bytes, rng: random.Random, keep: int = 0) -> bytes:
    """One to four changes at any place after the first `keep` bytes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(min(keep, len(changed)), len(changed) + 1)
        kind = rng.randrange(6)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place : place + 4] = struct.pack("<I", rng.choice((0, 1, 2**31, 2**32 - 1)))
        elif kind == 2:
            changed[place : place + 8] = struct.pack("<Q", rng.choice((0, 2**40, 2**63, 2**64 - 1)))
        elif kind == 3:
            del changed[place : place + rng.randint(1, 16)]
        elif kind == 4:
            changed[place:place] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 8)))
        elif rng.random() < 0.3:
            del changed[place:]
    return bytes(changed)


def text_changed(text: bytes, rng: random.Random) -> bytes:
    """One to three values, words or lines changed."""
    for _ in range(rng.randint(1, 3)):
        tokens = list(_TOKEN.finditer(text))
        if not tokens:
            return bytes_changed(text, rng)
        if rng.random() < 0.15:
            lines = text.splitlines(keepends=True)
            place = rng.randrange(len(lines))
            lines[place : place + 1] = rng.choice(([], [lines[place]] * 2, [b"  " + lines[place]]))
            text = b"".join(lines)
            continue
        numbers = [token for token in tokens if token.group()[-1:].isdigit()]
        chosen = rng.choice(numbers if numbers and rng.random() < 0.5 else tokens)
        new = rng.choice(_NUMBERS if rng.random() < 0.6 else _WORDS)
        text = text[: chosen.start()] + new + text[chosen.end() :]
    return text


def of_text(seed: bytes) -> Mutate:
    """Mostly values, sometimes bytes."""
    return lambda rng: (text_changed if rng.random() < 0.85 else bytes_changed)(seed, rng)


def of_json(document: object) -> Mutate:
    """Mostly another value at any place of a document that stays JSON, sometimes its text."""
    seed = json.dumps(document).encode()

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.35:
            return of_text(seed)(rng)
        changed = document
        for _ in range(rng.randint(1, 3)):
            changed = _value_changed(changed, rng)
        return json.dumps(changed).encode()

    return mutate


_VALUES = (
    *(None, True, -1, 0, 1.5, 10**18, 10**30, 1e308, 1e-320, float("inf"), float("nan")),
    *("", " ", "x", "[/]", "../x", "a\0b", "\x1b[31m", "\ud800", "\u202e", "=1+1"),
    *("9" * 5000, "a" * 20_000, [], {}, [[[[[[[[[1]]]]]]]]], [None] * 3, ["a", 1]),
    {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}},
)


def _value_changed(value: object, rng: random.Random) -> object:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            rest = {name: inner for name, inner in value.items() if name != key}
            return rng.choice(
                (rest, {**rest, rng.choice(("", "x" * 5000, "\0", "[/]")): value[key]})
            )
        return {**value, key: _value_changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], _value_changed(value[place], rng), *value[place + 1 :]]
    return rng.choice(_VALUES)


def of_bytes(seed: bytes, keep: int) -> Mutate:
    """Bytes, mostly after the first `keep`."""
    return lambda rng: bytes_changed(seed, rng, keep if rng.random() < 0.9 else 0)


def of_zip(
    seed: bytes, member_changed: Callable[[str, bytes, random.Random], bytes] | None = None
) -> Mutate:
    """Mostly a member inside a zip that stays whole, sometimes the zip's own bytes or names."""
    with zipfile.ZipFile(io.BytesIO(seed)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change = member_changed or (lambda name, data, rng: bytes_changed(data, rng))

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.25:
            return bytes_changed(seed, rng)
        chosen = rng.choice(list(members))
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", rng.choice((zipfile.ZIP_STORED,) * 3 + (8,))) as made:
            for name, data in members.items():
                if name == chosen and rng.random() < 0.1:
                    name = rng.choice((name + "x", "../" + name, "\x1b", name.upper()))
                if name != chosen or rng.random() < 0.95:
                    made.writestr(name, change(name, data, rng) if name == chosen else data)
        return written.getvalue()

    return mutate


def npy_changed(name: str, data: bytes, rng: random.Random) -> bytes:
    """An npy file with another header of the right length, or other bytes."""
    if rng.random() < 0.3:
        return bytes_changed(data, rng)
    (length,) = struct.unpack("<H", data[8:10])
    header = text_changed(data[10 : 10 + length], rng)[:65535]
    return data[:8] + struct.pack("<H", len(header)) + header + data[10 + length :]


Field = tuple[int, int, object]  # number, wire type, value: int, bytes or a list of fields


def of_protobuf(seed: bytes, depth: int = 8) -> Mutate:
    """Fields of a message and of those inside it, with all lengths right; sometimes bytes."""
    fields = _parsed(seed, depth)
    assert fields is not None, "the seed is a protobuf message"

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.15:
            return bytes_changed(seed, rng)
        changed = fields
        for _ in range(rng.randint(1, 3)):
            changed = _field_changed(changed, rng)
        return _written(changed)

    return mutate


def _field_changed(fields: list[Field], rng: random.Random) -> list[Field]:
    if not fields:
        return [(rng.randint(1, 20), 0, rng.choice((0, 1, 2**63, 2**64 - 1)))]
    place = rng.randrange(len(fields))
    number, wire, value = fields[place]
    new: list[Field]
    if isinstance(value, list) and rng.random() < 0.85:
        new = [(number, wire, _field_changed(value, rng))]
    elif rng.random() < 0.2:
        new = rng.choice(([], [fields[place]] * 2, [(rng.randint(1, 30), wire, value)]))
    elif isinstance(value, int):
        new = [(number, wire, rng.choice((0, 1, 2, 7, 255, 2**31, 2**40, 2**63, 2**64 - 1)))]
    else:
        data = _bytes_of(value)
        other = rng.choice((b"", bytes_changed(data, rng), b"\xff" * 40, b"a" * 5000))
        new = [(number, wire, other if wire == 2 else (other + bytes(8))[: len(data)])]
    return [*fields[:place], *new, *fields[place + 1 :]]


def _parsed(message: bytes, depth: int) -> list[Field] | None:
    """The fields of a message, those inside it parsed where they can be; None where it is none."""
    fields: list[Field] = []
    try:
        for number, wire, value in _wire(message):
            inside = depth and wire == 2 and isinstance(value, bytes)
            inner = _parsed(value, depth - 1) if inside else None  # type: ignore[arg-type]
            fields.append((number, wire, inner or value))
    except (IndexError, ValueError):
        return None
    return fields


def _wire(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(message):
        tag = varint()
        number, wire = tag >> 3, tag & 7
        if wire not in (0, 1, 2, 5) or not 0 < number < 10_000:
            raise ValueError("no field")
        if wire == 0:
            yield number, wire, varint()
            continue
        length = varint() if wire == 2 else {1: 8, 5: 4}[wire]
        if place + length > len(message):
            raise ValueError("too long")
        yield number, wire, message[place : place + length]
        place += length


def _written(fields: list[Field]) -> bytes:
    parts = []
    for number, wire, value in fields:
        parts.append(_varint(number << 3 | wire))
        if wire == 0:
            parts.append(_varint(int(value)))  # type: ignore[call-overload]
        else:
            data = _bytes_of(value)
            parts += [_varint(len(data)), data] if wire == 2 else [data]
    return b"".join(parts)


def _bytes_of(value: object) -> bytes:
    return _written(value) if isinstance(value, list) else bytes(value)  # type: ignore[call-overload]


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])

"""npz and npy files of others, read within bounds: nothing is unpickled, nothing allocated unseen.

An npz is a zip of npy files, stored or deflated. What a file says of itself (sizes, shapes, types)
is held against the bytes that are there before any memory is taken.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from engine.text import cut, quoted, shown

MOST_ARRAYS = 1_000
MOST_HEADER = 10_000
MOST_RATIO, LEAST_BOMB = 100, 100_000_000  # numbers compress, but not like this
_KINDS = "biufSU"
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS: dict[tuple[int, int], Callable[..., tuple[Any, bool, np.dtype]]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


class ArraysInvalid(Exception):
    """Says, as the end of a sentence about the file, why it was not read."""


def read_npz(path: Path, most_bytes: int, only: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file by name, or `only` one of them.

    Raises ArraysInvalid, and OSError where the file cannot be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, path.stat().st_size, most_bytes)
            if only is not None and only not in entries:
                names = ", ".join(cut(name, 40) for name in list(entries)[:5]) or "nothing"
                raise ArraysInvalid(f"holds {names}, and no {only}")
            wanted = entries if only is None else {only: entries[only]}
            return {name: _member(archive, name, entry) for name, entry in wanted.items()}
    except (ArraysInvalid, OSError):
        raise
    except Exception as error:  # a damaged zip shows as any of a dozen errors
        raise ArraysInvalid("is damaged or no npz file") from error


def read_npy(path: Path, most_bytes: int) -> np.ndarray:
    """The array of an npy file. Raises ArraysInvalid, and OSError where it cannot be opened."""
    size = path.stat().st_size
    if size > most_bytes:
        raise ArraysInvalid(f"has over {most_bytes / 1e6:,.0f} MB")
    with path.open("rb") as stream:
        return _array(stream, size, "the array")


def array_of(data: bytes) -> np.ndarray:
    """The array of an npy file in memory. Raises ArraysInvalid."""
    return _array(io.BytesIO(data), len(data), "the array")


def _entries(
    archive: zipfile.ZipFile, packed_bytes: int, most_bytes: int
) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MOST_ARRAYS:
        raise ArraysInvalid(f"holds {len(infos):,} files; at most {MOST_ARRAYS:,} are read")
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if name in entries:
            raise ArraysInvalid(f"holds {quoted(name)} twice")
        if info.flag_bits & _ENCRYPTED:
            raise ArraysInvalid("is encrypted")
        if info.compress_type not in _METHODS:
            raise ArraysInvalid(f"is compressed by method {info.compress_type}, not by deflate")
        entries[name] = info
    unpacked = sum(info.file_size for info in infos)
    if unpacked > most_bytes:
        raise ArraysInvalid(f"unpacks to over {most_bytes / 1e6:,.0f} MB, which is not accepted")
    if unpacked > max(LEAST_BOMB, MOST_RATIO * packed_bytes):
        raise ArraysInvalid(
            f"unpacks from {packed_bytes / 1e6:,.1f} to {unpacked / 1e6:,.0f} MB, as no file of "
            f"numbers does"
        )
    return entries


def _member(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as stream:
        return _array(stream, info.file_size, quoted(name))


def _array(stream: IO[bytes], size: int, name: str) -> np.ndarray:
    head = io.BytesIO(stream.read(MOST_HEADER))
    try:
        header = _HEADERS[npy.read_magic(head)]
        shape, fortran, dtype = header(head, max_header_size=MOST_HEADER)
    except Exception as error:  # the header is text in Python's own notation
        raise ArraysInvalid(f"is damaged: {name} has no readable npy header") from error
    if dtype.hasobject:
        raise ArraysInvalid(f"holds {name} as a pickled object, which could run code; never loaded")
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise ArraysInvalid(f"holds {name} as {quoted(str(dtype), 60)}, not as plain numbers")
    there = size - head.tell()
    if _count(shape) * dtype.itemsize != there:
        raise ArraysInvalid(
            f"says that {name} is {shown(list(shape), 60)} of {dtype}, but holds {there:,} bytes "
            f"of it"
        )
    begun = head.read()
    buffer = bytearray(there)
    buffer[: len(begun)] = begun
    rest = memoryview(buffer)[len(begun) :]
    if stream.readinto(rest) != len(rest) or stream.read(1):  # type: ignore[attr-defined]
        raise ArraysInvalid(f"is cut short in {name}")
    flat = np.frombuffer(buffer, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _count(shape: tuple[int, ...]) -> int:
    """How many values there are; -1 for shapes that no array has."""
    possible = len(shape) <= 32 and all(type(side) is int and 0 <= side < 2**62 for side in shape)
    return math.prod(shape) if possible else -1

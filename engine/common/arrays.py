"""Reads untrusted npz and npy files within limits: without unpickling, with checked allocation.

An npz file is a zip of npy files, stored or deflated. Declared sizes, shapes and types are checked
against the actual bytes before memory is allocated.
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

MAX_ARRAYS = 1_000
MAX_HEADER_BYTES = 10_000
MAX_COMPRESSION_RATIO, MIN_BOMB_BYTES = 100, 100_000_000  # above both, a file counts as a zip bomb
_KINDS = "biufSU"
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS: dict[tuple[int, int], Callable[..., tuple[Any, bool, np.dtype]]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


class ArraysInvalid(Exception):
    """Why a file was not read; the message is the end of a sentence that starts with the file."""


def read_npz(path: Path, max_bytes: int, only: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file by name, or only the one named `only`.

    Raises ArraysInvalid, and OSError where the file cannot be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _check_entries(archive, path.stat().st_size, max_bytes)
            if only is not None and only not in entries:
                names = ", ".join(cut(name, 40) for name in list(entries)[:5]) or "no array"
                raise ArraysInvalid(f"holds {names}, and no {only}")
            selected = entries if only is None else {only: entries[only]}
            return {name: _read_member(archive, name, entry) for name, entry in selected.items()}
    except (ArraysInvalid, OSError):
        raise
    except Exception as error:  # a damaged zip raises many kinds of errors
        raise ArraysInvalid("is damaged or not an npz file") from error


def read_npy(path: Path, max_bytes: int) -> np.ndarray:
    """The array of an npy file. Raises ArraysInvalid, and OSError where it cannot be opened."""
    size = path.stat().st_size
    if size > max_bytes:
        raise ArraysInvalid(f"is over {max_bytes / 1e6:,.0f} MB")
    with path.open("rb") as stream:
        return _read_array(stream, size, "the array")


def read_npy_bytes(data: bytes) -> np.ndarray:
    """The array of an npy file in memory. Raises ArraysInvalid."""
    return _read_array(io.BytesIO(data), len(data), "the array")


def _check_entries(
    archive: zipfile.ZipFile, packed_bytes: int, max_bytes: int
) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_ARRAYS:
        raise ArraysInvalid(f"holds {len(infos):,} files; at most {MAX_ARRAYS:,} are read")
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
    if unpacked > max_bytes:
        raise ArraysInvalid(f"unpacks to over {max_bytes / 1e6:,.0f} MB, which is the limit")
    if unpacked > max(MIN_BOMB_BYTES, MAX_COMPRESSION_RATIO * packed_bytes):
        raise ArraysInvalid(
            f"unpacks from {packed_bytes / 1e6:,.1f} to {unpacked / 1e6:,.0f} MB, which is no "
            f"plausible compression of numbers"
        )
    return entries


def _read_member(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as stream:
        return _read_array(stream, info.file_size, quoted(name))


def _read_array(stream: IO[bytes], size: int, name: str) -> np.ndarray:
    header = io.BytesIO(stream.read(MAX_HEADER_BYTES))
    try:
        read_header = _HEADERS[npy.read_magic(header)]
        shape, fortran, dtype = read_header(header, max_header_size=MAX_HEADER_BYTES)
    except Exception as error:  # the header is a Python literal
        raise ArraysInvalid(f"is damaged: {name} has no readable npy header") from error
    if dtype.hasobject:
        raise ArraysInvalid(
            f"holds {name} as a pickled object, which could run code and is never loaded"
        )
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise ArraysInvalid(f"holds {name} as {quoted(str(dtype), 60)}, not as plain numbers")
    data_bytes = size - header.tell()
    if _element_count(shape) * dtype.itemsize != data_bytes:
        raise ArraysInvalid(
            f"declares {name} as {shown(list(shape), 60)} of {dtype}, but holds "
            f"{data_bytes:,} bytes of it"
        )
    prefix = header.read()
    buffer = bytearray(data_bytes)
    buffer[: len(prefix)] = prefix
    rest = memoryview(buffer)[len(prefix) :]
    if stream.readinto(rest) != len(rest) or stream.read(1):  # type: ignore[attr-defined]
        raise ArraysInvalid(f"is truncated in {name}")
    flat = np.frombuffer(buffer, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _element_count(shape: tuple[int, ...]) -> int:
    """Number of elements; -1 for an invalid shape."""
    valid = len(shape) <= 32 and all(type(side) is int and 0 <= side < 2**62 for side in shape)
    return math.prod(shape) if valid else -1

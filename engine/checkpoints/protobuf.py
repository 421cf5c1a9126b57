"""A minimal reader of the Protocol Buffers wire format: fields by number."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class ProtobufDamaged(Exception):
    """The bytes are not a valid message."""


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields (field number, value) in order; a value is an integer, or bytes."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == BYTES:
            length, position = _varint(message, position)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise ProtobufDamaged(f"unknown wire type {wire}")
        if position + length > len(message):
            raise ProtobufDamaged("a field ends after the message")
        yield number, message[position : position + length]
        position += length


def messages(message: bytes, number: int) -> list[bytes]:
    """The values of a field that holds messages, strings or bytes."""
    return [value for key, value in fields(message) if key == number and isinstance(value, bytes)]


def texts(message: bytes, number: int) -> list[str]:
    """The values of a field that holds strings."""
    return [value.decode() for value in messages(message, number)]


def integers(message: bytes, number: int) -> list[int]:
    """The values of a field that holds integers, not packed."""
    return [value for key, value in fields(message) if key == number and isinstance(value, int)]


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ProtobufDamaged("it ends within a number")
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
    raise ProtobufDamaged("a number has more than ten bytes")

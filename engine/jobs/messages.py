"""Messages between a process and its child: a JSON document and blocks of bytes.

Every block is preceded by its length. Nothing is unpickled, in either direction.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MAX_BLOCK_BYTES = 2**28
"""Maximum size of one block, which is an image file or an array."""


@dataclass(frozen=True, slots=True)
class Message:
    """`facts`: a JSON object; `blocks`: image files, or arrays as from `pack_arrays`."""

    facts: dict[str, Any]
    blocks: tuple[bytes, ...] = ()


def send(connection: Connection, message: Message) -> None:
    """Sends a message. Raises OSError when the other side has ended."""
    header = {"facts": message.facts, "blocks": len(message.blocks)}
    for block in (json.dumps(header).encode(), *message.blocks):
        connection.send_bytes(block)


def receive(connection: Connection) -> Message:
    """Waits for a message. Raises EOFError or OSError when the other side has ended."""
    header = json.loads(connection.recv_bytes(MAX_BLOCK_BYTES))
    blocks = tuple(connection.recv_bytes(MAX_BLOCK_BYTES) for _ in range(header["blocks"]))
    return Message(header["facts"], blocks)


def pack_arrays(arrays: Sequence[np.ndarray]) -> tuple[bytes, ...]:
    """Numeric arrays as npy files in memory."""
    import numpy as np

    blocks = []
    for array in arrays:
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        blocks.append(stream.getvalue())
    return tuple(blocks)


def unpack_arrays(blocks: Sequence[bytes]) -> tuple[np.ndarray, ...]:
    """The arrays of `pack_arrays`. Raises ArraysInvalid for bytes that are not an npy file."""
    from engine.common.arrays import read_npy_bytes

    return tuple(read_npy_bytes(block) for block in blocks)

"""Messages between a process and its child: a JSON document, and blocks of bytes that go with it.

Every block has its length before it. Nothing is unpickled, in either direction.
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

MOST_BYTES = 2**28
"""Of one block: an image file or an array."""


@dataclass(frozen=True, slots=True)
class Message:
    """`facts` as JSON has them; `blocks` are image files or arrays as `packed` makes them."""

    facts: dict[str, Any]
    blocks: tuple[bytes, ...] = ()


def send(connection: Connection, message: Message) -> None:
    """Raises OSError when the other side is gone."""
    head = {"facts": message.facts, "blocks": len(message.blocks)}
    for block in (json.dumps(head).encode(), *message.blocks):
        connection.send_bytes(block)


def receive(connection: Connection) -> Message:
    """Waits for a message. Raises EOFError or OSError when the other side is gone."""
    head = json.loads(connection.recv_bytes(MOST_BYTES))
    blocks = tuple(connection.recv_bytes(MOST_BYTES) for _ in range(head["blocks"]))
    return Message(head["facts"], blocks)


def packed(arrays: Sequence[np.ndarray]) -> tuple[bytes, ...]:
    """Arrays of numbers as npy files."""
    import numpy as np

    found = []
    for array in arrays:
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        found.append(stream.getvalue())
    return tuple(found)


def unpacked(blocks: Sequence[bytes]) -> tuple[np.ndarray, ...]:
    """The arrays again. Raises ArraysInvalid for bytes that are no npy file."""
    from engine.common.arrays import array_of

    return tuple(array_of(block) for block in blocks)

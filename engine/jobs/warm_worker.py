"""The child's side of a warm process: `python -m engine.jobs.warm_worker MODULE:TABLE CONNECTION`.

It answers one request after the other with the functions of a table, keeps what they keep loaded,
and ends with its parent. An error is answered as the name of its class and its sentence.
"""

from __future__ import annotations

from engine.jobs import lifeline

if __name__ == "__main__":
    lifeline.attach()  # before the imports below, which take a while

import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from multiprocessing.connection import Connection

from engine.common.error_sentences import error_message, unexpected_error_message
from engine.errors import WorkbenchError
from engine.jobs.messages import Message, receive, send

Handler = Callable[[Message], Message]


def serve(connection: Connection, table: Mapping[str, Handler]) -> None:
    """Answers until the other side is gone; `task` of a request names the function."""
    while True:
        try:
            request = receive(connection)
        except EOFError:
            return
        send(connection, answer(request, table))
        del request  # with the bytes of an image


def answer(request: Message, table: Mapping[str, Handler]) -> Message:
    """What the function of the task returns, or the error that it raised."""
    try:
        return table[request.facts["task"]](request)
    except Exception as error:
        kind = type(error).__name__ if isinstance(error, WorkbenchError) else None
        if kind is None:
            traceback.print_exc()
        return Message(
            {"error": kind, "sentence": error_message(error) or unexpected_error_message(error)}
        )


def main(table: str, descriptor: int) -> None:
    """Imports the table and serves it."""
    module, _, name = table.partition(":")
    serve(Connection(descriptor), getattr(import_module(module), name))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

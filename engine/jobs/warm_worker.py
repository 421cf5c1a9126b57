"""The child of a `WarmChild`: `python -m engine.jobs.warm_worker MODULE:TABLE CONNECTION`.

It answers requests one after another with the handlers of a table, which may keep models loaded,
and ends with its parent. The answer to a failed request has the error class and its sentence.
"""

from __future__ import annotations

from engine.jobs import lifeline

if __name__ == "__main__":
    lifeline.attach()  # before the slow imports below

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
    """Answers requests until the other side has ended; `task` of a request names the handler."""
    while True:
        try:
            request = receive(connection)
        except EOFError:
            return
        send(connection, answer(request, table))
        del request  # frees the bytes of its image


def answer(request: Message, table: Mapping[str, Handler]) -> Message:
    """The answer of the handler of the task, or the error that it raised."""
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
    """Imports the table and answers requests on the connection `descriptor`."""
    module, _, name = table.partition(":")
    serve(Connection(descriptor), getattr(import_module(module), name))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

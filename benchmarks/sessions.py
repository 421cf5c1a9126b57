"""Many sessions at once: each opens Compare over a websocket of its own, as a browser does.

`python -m benchmarks.sessions [--home FOLDER] [--sessions 50]` starts the real command, opens all
sessions at the same moment, changes a limit in each, and closes them. It prints the seconds to a
finished page and the memory of the server before, with, and after them. The exit code is 1 after
an error in a session, or with a 95th percentile over the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.dashboard import prepare

LIMIT_P95_S = 5.0
PATIENCE_S = 120.0
CLOSED_S = 20.0
"""Wait after the sessions are closed, before the memory is read again."""
LIMIT_FIELD = "most_latency"
LIMITS_MS = (5.0, 10.0, 20.0, 40.0)


@dataclass
class Times:
    """Seconds of each session to a finished page, and after a changed limit; errors."""

    opened_s: list[float] = field(default_factory=list)
    changed_s: list[float] = field(default_factory=list)
    sent_mb: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


async def _run_script(socket: ClientConnection, request: bytes) -> tuple[float, list[bytes]]:
    """Sends a request; seconds until the script has finished, and all messages."""
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    begun, received = time.perf_counter(), []
    await socket.send(request)
    while True:
        data = await asyncio.wait_for(socket.recv(), PATIENCE_S)
        received.append(data if isinstance(data, bytes) else data.encode())
        if ForwardMsg.FromString(received[-1]).WhichOneof("type") == "script_finished":
            return time.perf_counter() - begun, received


def _open_request() -> bytes:
    from streamlit.proto.BackMsg_pb2 import BackMsg

    message = BackMsg()
    message.rerun_script.query_string = ""
    return message.SerializeToString()


def _change_request(received: list[bytes], limit_ms: float) -> bytes | None:
    """A rerun of the fragment of the latency limit with another value; None if it is not there."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    for data in received:
        found = ForwardMsg.FromString(data)
        if found.WhichOneof("type") != "delta":
            continue
        number = found.delta.new_element.number_input
        if number.id.endswith(LIMIT_FIELD):
            message = BackMsg()
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.double_value = number.id, limit_ms
            message.rerun_script.fragment_id = found.delta.fragment_id
            return message.SerializeToString()
    return None


def _errors(received: list[bytes]) -> list[str]:
    """Exceptions and errors that the page shows."""
    from streamlit.proto.Alert_pb2 import Alert
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    found = []
    for data in received:
        element = ForwardMsg.FromString(data).delta.new_element
        if element.WhichOneof("type") == "exception":
            found.append(element.exception.message)
        elif element.WhichOneof("type") == "alert" and element.alert.format == Alert.ERROR:
            found.append(element.alert.body)
    return found


async def _session(address: str, number: int, times: Times, everyone: asyncio.Barrier) -> None:
    """One session: opens Compare, changes the limit, and stays until all are done."""
    url = address.replace("http", "ws") + "/_stcore/stream"
    async with connect(url, subprotocols=["streamlit"], max_size=None, origin=address) as socket:  # type: ignore[list-item, arg-type]
        await everyone.wait()
        seconds, received = await _run_script(socket, _open_request())
        times.opened_s.append(seconds)
        times.sent_mb.append(sum(map(len, received)) / 1e6)
        times.errors += _errors(received)
        await everyone.wait()
        request = _change_request(received, LIMITS_MS[number % len(LIMITS_MS)])
        if request is None:
            times.errors.append("The page has no latency limit.")
        else:
            seconds, received = await _run_script(socket, request)
            times.changed_s.append(seconds)
            times.errors += _errors(received)
        await everyone.wait()


async def _sessions(address: str, count: int) -> Times:
    times, everyone = Times(), asyncio.Barrier(count)

    async def one(number: int) -> None:
        try:
            await _session(address, number, times, everyone)
        except Exception as error:
            times.errors.append(repr(error))
            await everyone.abort()  # the others do not wait for it

    await asyncio.gather(*(one(number) for number in range(count)))
    return times


def _server_mb(address: str) -> float:
    """Resident memory of the process that serves `address`."""
    port = int(address.rpartition(":")[2])
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "--server.port" in line and str(port) in line:
            return float(process.memory_info().rss / 1e6)
    return float("nan")


def _percentiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    values = {f"p{share}": float(np.percentile(seconds, share)) for share in (50, 95)}
    return {name: round(value, 2) for name, value in values.items()} | {
        "max": round(max(seconds), 2)
    }


def main() -> int:
    """Measures and prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3, help="all sessions, opened and closed")
    options = parser.parse_args()
    home = options.home or Path(tempfile.mkdtemp(prefix="senet-many-"))
    prepare(home)
    from tests.support.server import serving

    failed = False
    with serving(home) as address:
        asyncio.run(_sessions(address, 1))
        before = _server_mb(address)
        for _ in range(options.repeats):
            times = asyncio.run(_sessions(address, options.sessions))
            open_mb = _server_mb(address)
            time.sleep(CLOSED_S)
            opened = _percentiles(times.opened_s)
            figures = {
                "sessions": options.sessions,
                "opened_s": opened,
                "changed_s": _percentiles(times.changed_s),
                "sent_mb": round(max(times.sent_mb, default=0.0), 2),
                "server_mb": [round(before), round(open_mb), round(_server_mb(address))],
                "errors": sorted(set(times.errors)),
            }
            print(json.dumps(figures), flush=True)
            failed |= bool(times.errors) or opened.get("p95", np.inf) > LIMIT_P95_S
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())

"""This machine as a node of a Ray cluster: `ray start` with our label, slots and token.

Ray is a program of its own here; nothing in this module imports it.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from engine.common.error_sentences import error_message
from engine.common.files import write_text
from engine.config import PRIVATE_FILE, settings
from engine.errors import InvalidRequest
from engine.hosts import home, registry
from engine.hosts.registry import HostRecord

HOST_LABEL = "senet-host"
SLOTS, BENCH = "senet", "bench"
TOKEN_FILE = "ray.token"  # noqa: S105 (a file's name)
STORE_BYTES = 80_000_000
"""Size of Ray's store of objects, which jobs do not use; Ray accepts no less than 75 MB."""
LOOK_S = 2.0
AGAIN_S = 3.0


def require_ray() -> None:
    """Raises InvalidRequest where Ray is not installed."""
    if find_spec("ray") is None:
        raise InvalidRequest("A cluster needs Ray: `pip install -r requirements/cluster.txt`.")


def token_file() -> Path:
    """The file of this home with the token of the cluster."""
    return settings().home / TOKEN_FILE


def ray_environment() -> dict[str, str]:
    """The variables with which Ray asks for a token, finds it, and reports no usage."""
    own = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    given = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if not given and token_file().is_file():
        own["RAY_AUTH_TOKEN_PATH"] = str(token_file())
    return {name: value for name, value in own.items() if name not in os.environ}


def make_token() -> None:
    """Writes a token into this home, unless there is one, or one is given by the environment."""
    if "RAY_AUTH_TOKEN" in os.environ or token_file().exists():
        return
    write_text(token_file(), secrets.token_hex(32))
    token_file().chmod(PRIVATE_FILE)


def node_command(*where: str, slots: int) -> list[str]:
    """`ray start` of this host; `where`: as head, or the address to join."""
    own = home.load()
    assert own is not None
    resources = {SLOTS: slots, BENCH: 1} if slots else {}
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=0"),
        *where,
        f"--resources={json.dumps(resources)}",
        *([f"--labels={HOST_LABEL}={own.identity}"] if slots else []),
        f"--object-store-memory={STORE_BYTES}",
        "--disable-usage-stats",
    ]


def refuse_copy(host: HostRecord | None, facts_here: dict[str, object]) -> None:
    """Raises InvalidRequest if another machine that is up has the identity of this home."""
    differs = host is not None and any(
        host.facts.get(name) != facts_here.get(name) for name in ("host", "folder", "cpu")
    )
    if host is not None and differs and host.is_up:
        raise InvalidRequest(
            f"The identity of this home is that of {host.label}, which is up: this home is a copy "
            f"of that one. Use a home of its own (SENET_HOME) on each machine."
        )


def stay_in_cluster(command: list[str], url: str, every: Callable[[], object]) -> None:
    """Runs a node until this process is stopped; a node that ends is started again.

    `every` is called every LOOK_S seconds; what the database refuses meanwhile is only printed.
    """
    signal.signal(signal.SIGTERM, _leave)
    while True:
        node = subprocess.Popen(
            command, env={**os.environ, **ray_environment()}, start_new_session=True
        )
        try:
            while node.poll() is None:
                try:
                    registry.announce(url)
                    every()
                except (SQLAlchemyError, OSError) as error:
                    print(error_message(error) or error, flush=True)
                time.sleep(LOOK_S)
        except KeyboardInterrupt:
            return
        finally:
            stop(node)
        print(f"The Ray node ended ({node.returncode}); it is started again.", flush=True)
        time.sleep(AGAIN_S)


def _leave(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def stop(node: subprocess.Popen[bytes]) -> None:
    """Ends a node with all its processes."""
    import psutil

    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(node.pid).children(recursive=True)
    node.terminate()
    with suppress(subprocess.TimeoutExpired):
        node.wait(10)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    node.kill()
    node.wait()

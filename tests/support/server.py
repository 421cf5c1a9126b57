"""The real command on a free port, with a data folder of its own, and a Chromium to look at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that shows a moving test picture
    "--use-fake-ui-for-media-stream",
)
START_PATIENCE_S = 60


def find_chromium() -> str | None:
    """The system's browser."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


@contextmanager
def serving(
    home: Path,
    *arguments: str,
    python: Path = Path(sys.executable),
    host_lock: Path | None = None,
) -> Iterator[str]:
    """Runs `streamlit run dashboard/app.py` from the repository root; yields its address.

    `python` is that of the environment whose `streamlit` is run; workbenches with one `host_lock`
    share the machine.
    A dispatcher that it starts outlives it, as it must; it leaves after five idle seconds.
    """
    port = _free_port()
    home.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "SENET_HOME": str(home),
        "SENET_HOST_LOCK": str(host_lock or home / "host.lock"),
        "SENET_IDLE_S": "5",
    }
    environment.pop("PYTHONPATH", None)
    environment.pop("DATABASE_URL", None)
    streamlit = python.with_name("streamlit")
    command = [str(streamlit), "run", "dashboard/app.py", "--server.port", str(port), *arguments]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, process, home)
            yield address
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, process: subprocess.Popen[bytes], home: Path) -> None:
    until = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"The server did not start:\n{(home / 'server.log').read_text()[-2000:]}")

"""How long a command takes to start: processor time and memory, beside another checkout's.

    python -m benchmarks.startup [--before FOLDER] [--rounds 7] [--as-installed]

Each command runs in a fresh process of this interpreter, in turn with the same command in FOLDER
(a checkout of an earlier state), each first in every other round. Printed are the medians of
user + system seconds and of the largest resident memory. Bytecode is kept in a folder of its own
for each checkout and is warm. With --as-installed Python writes none and reads what there is beside
the packages, which is none after an installation with `--no-compile`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from engine.config import REPOSITORY
from engine.worker import HANDLERS

LIMITS = {"--help": (0.4, 60.0), "jobs list": (0.8, None)}
"""Seconds, and MB where memory is limited too."""
CASES = {
    "--help": ["-m", "engine", "--help"],
    "jobs list": ["-m", "engine", "jobs", "list"],
    **{
        f"job {kind}": ["-c", f"import engine.worker, {where.partition(':')[0]}"]
        for kind, where in HANDLERS.items()
    },
}
LAUNCHER = """
import json, os, sys
silent = [(os.POSIX_SPAWN_OPEN, to, os.devnull, os.O_WRONLY, 0) for to in (1, 2)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
_, status, used = os.wait4(child, 0)
seconds = used.ru_utime + used.ru_stime
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, used.ru_maxrss]))
"""
"""A process counts the memory of the one that it was forked from, so that one must be small."""


def measured(checkout: Path, arguments: list[str], scratch: Path, bytecode: bool) -> list[float]:
    """Seconds of the processor and MB at most, of one fresh process."""
    own = scratch / checkout.as_posix().strip("/").replace("/", "-")
    own.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {
        **kept,
        "SENET_HOME": str(own / "home"),
        "SENET_HOST_LOCK": str(own / "host.lock"),
        **(
            {"PYTHONPYCACHEPREFIX": str(own / "bytecode")}
            if bytecode
            else {"PYTHONDONTWRITEBYTECODE": "1"}
        ),
    }
    report = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, sys.executable, *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    code, seconds, kilobytes = json.loads(report.stdout)
    if code:
        raise SystemExit(f"{arguments} ended with {code} in {checkout}.")
    return [seconds, kilobytes * 1024 / 1e6]


def main() -> int:
    """Measures and prints a table; 1 when a command is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="A checkout to measure beside this one.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--as-installed", action="store_true")
    chosen = parser.parse_args()
    checkouts = [*([chosen.before.resolve()] if chosen.before else []), REPOSITORY]
    over = False
    print(f"{'':20} {'  '.join(f'{folder.name:>16}' for folder in checkouts)}")
    with tempfile.TemporaryDirectory(prefix="senet-startup-") as scratch:
        for name, arguments in CASES.items():
            taken: dict[Path, list[list[float]]] = {folder: [] for folder in checkouts}
            for number in range(-1, chosen.rounds):  # the first makes the home and the bytecode
                for folder in checkouts if number % 2 else reversed(checkouts):
                    one = measured(folder, arguments, Path(scratch), not chosen.as_installed)
                    if number >= 0:
                        taken[folder].append(one)
            found = [[median(kind) for kind in zip(*taken[f], strict=True)] for f in checkouts]
            cells = "  ".join(f"{seconds:6.2f} s {mb:5.0f} MB" for seconds, mb in found)
            most_s, most_mb = LIMITS.get(name, (None, None))
            seconds, mb = found[-1]
            too_much = (most_s and seconds > most_s) or (most_mb and mb > most_mb)
            over |= bool(too_much)
            print(f"{name:20} {cells}{'  over the limit' if too_much else ''}", flush=True)
    return int(over)


if __name__ == "__main__":
    raise SystemExit(main())

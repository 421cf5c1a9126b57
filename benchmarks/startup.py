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
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from engine.config import REPOSITORY
from engine.jobs.handlers import HANDLERS

LIMITS = {"--help": (0.4, 60.0), "jobs list": (0.8, None)}
"""Seconds, and MB where memory is limited too."""
CASES = {
    "--help": ["-m", "engine", "--help"],
    "jobs list": ["-m", "engine", "jobs", "list"],
    **{
        f"job {kind}": ["-c", f"import engine.jobs.worker, {where.partition(':')[0]}"]
        for kind, where in HANDLERS.items()
    },
}


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
    child = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=checkout,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{arguments} ended with {child.returncode} in {checkout}.")
    return [used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6]


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

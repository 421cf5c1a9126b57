"""Start-up of commands: CPU time and memory, optionally compared with another checkout.

    python -m benchmarks.startup [--before FOLDER] [--rounds 7] [--as-installed]

Each command runs in a new process of this interpreter, alternating with the same command in FOLDER
(an earlier checkout), in alternating order. The output is the median of user + system seconds and
of the peak resident memory. Each checkout has its own bytecode cache, which is warm. With
--as-installed, Python writes no bytecode and reads only that of the installed packages, which is
none after an installation with `--no-compile`.
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
"""Limits in CPU seconds and, where not None, in MB."""
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
"""Peak memory includes that of the forking process, so this launcher must be small."""


def measure_command(
    checkout: Path, arguments: list[str], scratch: Path, bytecode: bool
) -> list[float]:
    """CPU seconds and peak memory in MB of one new process."""
    own = scratch / checkout.as_posix().strip("/").replace("/", "-")
    own.mkdir(exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {
        **inherited,
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
    """Measures and prints a table; returns 1 when a command is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="An earlier checkout to compare with.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--as-installed", action="store_true")
    options = parser.parse_args()
    checkouts = [*([options.before.resolve()] if options.before else []), REPOSITORY]
    over = False
    print(f"{'':20} {'  '.join(f'{folder.name:>16}' for folder in checkouts)}")
    with tempfile.TemporaryDirectory(prefix="senet-startup-") as scratch:
        for name, arguments in CASES.items():
            taken: dict[Path, list[list[float]]] = {folder: [] for folder in checkouts}
            for number in range(
                -1, options.rounds
            ):  # the first run creates the home and the bytecode
                for folder in checkouts if number % 2 else reversed(checkouts):
                    one = measure_command(
                        folder, arguments, Path(scratch), not options.as_installed
                    )
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

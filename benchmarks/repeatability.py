"""Do the intervals of speed-ups hold? Many short sessions of the same builds on this machine.

    python -m benchmarks.repeatability FP32.onnx INT8.onnx [...] [--sessions 20] [--max-s 20]

Each session starts fresh processes of every file and of a second copy of the first one (A/A), and
measures them round by round as the product does. The overall value of a ratio is taken over the
rounds of all sessions. The 95 % interval of a session should cover it in at least 18 of 20
sessions, and the copy should be called significantly different in at most 1 of 20.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx
from tabulate import tabulate

from engine.benchmark.loaded_model import ProcessConfig
from engine.benchmark.machine_state import observe_state, state_sentence
from engine.benchmark.metrics import FRESH_WARM_UP_S
from engine.benchmark.processes import ProcessGroup, preload
from engine.benchmark.session import SessionRecord, SessionRules, run_rounds
from engine.benchmark.speedometer import SETTLE_S, Speedometer
from engine.benchmark.windows import Window
from engine.common.ratios import SpeedRatio, paired_ratio
from engine.config import settings
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, RATIO_TOLERANCE, WINDOW_S, BenchmarkSpec

MIN_COVERED = 0.9
MAX_CALLED_DIFFERENT = 0.05


@dataclass(frozen=True, slots=True)
class MeasuredRatio:
    """The ratio of one file to the first in one session, with the rounds' rates of both."""

    found: SpeedRatio
    rates: list[float]
    references: list[float]


def measure_session(files: list[Path], batch: int, seed: int, max_s: float) -> SessionRecord:
    """One session over the files, with fresh processes."""
    rules = SessionRules(
        window_s=WINDOW_S,
        max_s=max_s,
        ratio_tolerance=RATIO_TOLERANCE,
        tolerance=BenchmarkSpec().tolerance,
        seed=seed,
    )
    record = SessionRecord(launches=1)
    preload([DEFAULT_RUNTIME])
    with ExitStack() as stack:
        groups = [stack.enter_context(ProcessGroup([_config(f, batch)])) for f in files]
        speedometer = stack.enter_context(Speedometer())

        def read_speed() -> float:
            time.sleep(SETTLE_S)
            return speedometer.read()

        def take(group: ProcessGroup, seconds: float) -> Window:
            group.restart()
            return group.measure_window(seconds, FRESH_WARM_UP_S)

        builds = {number: partial(take, group) for number, group in enumerate(groups)}
        run_rounds(builds, rules, record, read_speed=read_speed)
    return record


def _config(path: Path, batch: int) -> ProcessConfig:
    shape = [d.dim_value for d in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]
    return ProcessConfig(
        runtime=DEFAULT_RUNTIME,
        path=path,
        precision="fp32",
        provider=CPU_PROVIDER,
        threads=settings().threads,
        instances=1,
        shape=(batch, *shape[1:]),
        seed=0,
    )


def ratio_in(record: SessionRecord, build: int) -> MeasuredRatio:
    """The ratio of a build to the first one in a session."""
    rates, references = (
        {turn.number: turn.window.images_per_s for turn in record.turns[key]} for key in (build, 0)
    )
    shared = sorted(set(rates) & set(references))
    series = [rates[n] for n in shared], [references[n] for n in shared]
    return MeasuredRatio(paired_ratio(*series), *series)


def report(name: str, measured: list[MeasuredRatio], *, equal: bool) -> bool:
    """Prints the intervals of one ratio over the sessions; whether they hold as they should."""
    overall = paired_ratio(
        [rate for one in measured for rate in one.rates],
        [rate for one in measured for rate in one.references],
    ).ratio
    covered = sum((one.found.low or 0) <= overall <= (one.found.high or 0) for one in measured)
    different = sum(bool(one.found.significant) for one in measured)
    rows = [
        (number, one.found.rounds, one.found.ratio, one.found.low, one.found.high)
        for number, one in enumerate(measured, 1)
    ]
    print(f"\n{name}: overall {overall:.4f}, covered in {covered} of {len(measured)} sessions")
    if equal:
        print(f"called significantly different in {different} of {len(measured)} sessions")
    headers = ("session", "rounds", "ratio", "95 % low", "95 % high")
    print(tabulate(rows, headers=headers, floatfmt=".4f"))
    holds = covered >= MIN_COVERED * len(measured)
    return holds and (not equal or different <= MAX_CALLED_DIFFERENT * len(measured))


def main() -> int:
    """Runs the sessions and prints one table per ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "files", nargs="+", type=Path, help="ONNX files; the first is the reference"
    )
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--max-s", type=float, default=20.0, help="of one session")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / arguments.files[0].name
        shutil.copyfile(arguments.files[0], copy)
        files = [arguments.files[0], copy, *arguments.files[1:]]
        records = []
        for seed in range(arguments.sessions):
            record = measure_session(files, arguments.batch, seed, arguments.max_s)
            rates = [turn.window.images_per_s for turn in record.turns[0]]
            state = state_sentence(observe_state(rates)) or "one speed"
            print(f"session {seed + 1}: {record.rounds} rounds, {record.spent_s:.1f} s, {state}")
            sys.stdout.flush()
            records.append(record)
    holds = report("copy / first (A/A)", [ratio_in(one, 1) for one in records], equal=True)
    for number, path in enumerate(arguments.files[1:], 2):
        name = f"{path.parent.name[:12]}/{path.name} / first"
        holds &= report(name, [ratio_in(one, number) for one in records], equal=False)
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())

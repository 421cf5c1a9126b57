"""Speed of an evaluation, relative to the limit of the machine and to timm's validation loop.

    python -m benchmarks.evaluation REAL_DATA [--images 1000] [--rounds 3] [--rounds-file FILE]
        [--validate FILE] [--no-counts] [--fifty-thousand]

REAL_DATA is the folder of photographs and weights that SENET_REAL_DATA names. The cases alternate
within one call, so that interference affects all alike. The upper bound of a first pass is
1 / (1 / decoding rate + 1 / inference rate), because both need the same cores. Rates of a pass are
steady-state rates (without the first batches), by wall time and by CPU time. The comparison with
timm is from start to end, including the start of processes and model here, while timm's model and
workers are already started. Speeds are measured with `timm/seresnet50` and random weights, counts
with `timm/tf_mobilenetv3_small_100` and real weights. With --rounds-file, a long benchmark can be
split into several calls: the rounds of earlier calls count too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.evaluation_timm import SPEED_MODEL, loop_counts, loop_rate, script_rate
from benchmarks.rates import Rate, mean

COUNTED_MODEL = "timm/tf_mobilenetv3_small_100"
TIMM_OPTIONS = {"defaults": [], "batch 16, 2 workers": ["-b", "16", "-j", "2"]}


def main() -> None:
    """Runs everything and prints a table, then one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real_data", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rounds-file", type=Path, help="Add the rounds to those in this file.")
    parser.add_argument("--no-counts", action="store_true", help="Skip the top-1 and top-5 counts.")
    parser.add_argument("--validate", type=Path, help="Path of validate.py from timm's repository.")
    parser.add_argument("--home", type=Path, help="Reuse exports and builds in this folder.")
    parser.add_argument(
        "--fifty-thousand", action="store_true", help="Measure memory over 50,000 images."
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SENET_HOME"] = str(options.home or folder)
        os.environ.setdefault("SENET_HOST_LOCK", str(Path(folder) / "host.lock"))
        report = measure(options, Path(folder))
    show(report)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures of the report."""
    from benchmarks.evaluation_setup import Workbench

    bench = Workbench(options.real_data, folder)
    report: dict[str, Any] = {"cores": bench.threads, "images": options.images}
    rounds = read_rounds(options.rounds_file)
    artifacts = {p: bench.build(SPEED_MODEL, p) for p in ("fp32", "int8")} if options.rounds else {}
    for _ in range(options.rounds):
        rounds.append(run_round(bench, artifacts, options.images, options.validate))
        save_rounds(options.rounds_file, rounds)
    report["rounds"] = [{name: asdict(rate) for name, rate in r.items()} for r in rounds]
    report["ratios"] = ratios(rounds) if rounds else {}
    if not options.no_counts:
        report["counts"] = {
            "engine": bench.counts(COUNTED_MODEL),
            "timm": loop_counts(bench, COUNTED_MODEL),
        }
    if options.fifty_thousand:
        report["memory_mb"] = memory_over_model_mb(bench, 50_000)
    return report


def run_round(
    bench: Any, artifacts: dict[str, Any], images: int, validate: Path | None = None
) -> Rates:
    """Runs each case once; inference alone is measured before and after each pass."""
    rates: Rates = {"decode": bench.decoding_rate(images)}
    for precision, artifact in artifacts.items():
        bench.clear_cache()
        for which in ("first", "later"):
            before = bench.inference_rate(artifact)
            steady, total = bench.evaluation_rate(artifact, images)
            after = bench.inference_rate(artifact)
            rates[f"{which} {precision} inference"] = mean(before, after)
            rates[f"{which} {precision}"] = steady
            rates[f"{which} {precision} total"] = total
    rates["timm's loop"] = loop_rate(bench)
    for name, options in TIMM_OPTIONS.items() if validate else ():
        rates[f"validate.py, {name}"] = script_rate(bench, validate, images, options)
    summary = {name: [round(rate.wall, 1), round(rate.core, 1)] for name, rate in rates.items()}
    print(f"round: {json.dumps(summary)}")
    sys.stdout.flush()
    return rates


def read_rounds(path: Path | None) -> list[Rates]:
    """The rounds of earlier calls."""
    if path is None or not path.is_file():
        return []
    stored = json.loads(path.read_text())
    return [{name: Rate(**rate) for name, rate in rates.items()} for rates in stored]


def save_rounds(path: Path | None, rounds: list[Rates]) -> None:
    """Writes the rounds for a later call."""
    if path is not None:
        plain = [{name: asdict(rate) for name, rate in rates.items()} for rates in rounds]
        path.write_text(json.dumps(plain))


Rates = dict[str, Rate]


def ratios(rounds: list[Rates]) -> dict[str, dict[str, float]]:
    """The median over the rounds of each ratio, by wall time and by CPU time."""

    def medians(of: Callable[[Rates, str], float]) -> dict[str, float]:
        return {by: statistics.median(of(rates, by) for rates in rounds) for by in ("wall", "core")}

    found = {}
    for p in ("fp32", "int8"):

        def bound(r: Rates, by: str, p: str = p) -> float:
            alone = getattr(r[f"first {p} inference"], by)
            return float(1 / (1 / getattr(r["decode"], by) + 1 / alone))

        found[f"{p}: first pass / bound"] = medians(
            lambda r, by, p=p, bound=bound: getattr(r[f"first {p}"], by) / bound(r, by)
        )
        found[f"{p}: later pass / pure inference"] = medians(
            lambda r, by, p=p: getattr(r[f"later {p}"], by) / getattr(r[f"later {p} inference"], by)
        )
        for which, timm_name in product(("first", "later"), timm_rates(rounds)):
            found[f"{p}: {which} pass, start to end / {timm_name}"] = medians(
                lambda r, by, p=p, which=which, timm_name=timm_name: (
                    getattr(r[f"{which} {p} total"], by) / getattr(r[timm_name], by)
                )
            )
    return found


def memory_over_model_mb(bench: Any, images: int) -> float:
    """Peak memory (PSS, all processes) of an evaluation minus that of the loaded model, in MB."""
    artifact = bench.build(COUNTED_MODEL, "fp32")
    own = psutil.Process()
    peak, stop = [0.0], threading.Event()

    def sample_memory() -> None:
        while not stop.wait(0.5):
            total = 0.0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss / 1e6
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total)

    bench.inference_rate(artifact)
    before = own.memory_full_info().pss / 1e6
    watcher = threading.Thread(target=sample_memory)
    watcher.start()
    try:
        _, rate = bench.evaluation_rate(artifact, images)
    finally:
        stop.set()
        watcher.join()
    print(
        f"{images:,} images: {rate.wall:,.0f} images/s, {peak[0] - before:,.0f} MB over the model"
    )
    return peak[0] - before


def timm_rates(rounds: list[Rates]) -> list[str]:
    """The timm cases that were measured in every round."""
    names = [name for name in rounds[0] if name.startswith(("timm", "validate.py"))]
    return [name for name in names if all(name in rates for rates in rounds)]


TARGETS = {
    "fp32: first pass / bound": 0.90,
    "int8: first pass / bound": 0.90,
    "fp32: later pass / pure inference": 0.95,
    "int8: later pass / pure inference": 0.95,
    "fp32: first pass, start to end / validate.py, defaults": 2.0,
    "int8: first pass, start to end / validate.py, defaults": 5.0,
}


def show(report: dict[str, Any]) -> None:
    """Prints the table and the JSON document."""
    print("\n| ratio (median) | wall time | CPU time | target |")
    print("| --- | --- | --- | --- |")
    for name, by in report["ratios"].items():
        target = TARGETS.get(name)
        verdict = (
            "–" if target is None else f"{target:g} {'met' if by['wall'] >= target else 'MISSED'}"
        )
        print(f"| {name} | {by['wall']:.3f} | {by['core']:.3f} | {verdict} |")
    if "counts" in report:
        same = list(report["counts"]["engine"]) == list(report["counts"]["timm"])
        print(f"| counts {report['counts']} | | | {'identical' if same else 'DIFFERENT'} |")
    print(json.dumps(report))


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()

"""How fast an evaluation is against what the machine allows, and against timm's own loop.

    python -m benchmarks.evaluation REAL_DATA [--images 1000] [--rounds 3] [--rounds-file FILE]
        [--no-counts] [--fifty-thousand]

REAL_DATA is the folder of photographs and weights that SENET_REAL_DATA names. Everything is run in
turn in one call, so that the ratios hold on a noisy machine. The bound of a first pass is
1 / (1 / decoding rate + 1 / inference rate): both need the same cores. Rates of a pass are taken
from its first batch on, by the clock and by processor time (what it costs, whoever else is at work
on the machine); against timm, whose model and workers stand ready, it is from start to end
with processes and model to start. Speeds are of
`timm/seresnet50` with random weights, counts of `timm/tf_mobilenetv3_small_100` with real ones.
With a file of rounds a long benchmark can be done in several short calls: those of before count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

SPEED_MODEL, COUNTED_MODEL = "timm/seresnet50", "timm/tf_mobilenetv3_small_100"
TORCH_IMAGES = 320
BATCH = 16


def main() -> None:
    """Runs everything and prints a table, then one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real_data", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rounds-file", type=Path, help="Add the rounds to those kept here.")
    parser.add_argument("--no-counts", action="store_true", help="Leave out the counts.")
    parser.add_argument("--home", type=Path, help="Keep exports and builds here between calls.")
    parser.add_argument("--fifty-thousand", action="store_true", help="Memory over 50,000 images.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SENET_HOME"] = str(options.home or folder)
        os.environ.setdefault("SENET_HOST_LOCK", str(Path(folder) / "host.lock"))
        report = measure(options, Path(folder))
    show(report)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every figure of the report."""
    from benchmarks.evaluation_setup import Workbench

    bench = Workbench(options.real_data, folder)
    report: dict[str, Any] = {"cores": bench.threads, "images": options.images}
    rounds = read_rounds(options.rounds_file)
    artifacts = {p: bench.build(SPEED_MODEL, p) for p in ("fp32", "int8")} if options.rounds else {}
    for _ in range(options.rounds):
        rounds.append(one_round(bench, artifacts, options.images))
        keep_rounds(options.rounds_file, rounds)
    report["rounds"] = [{name: asdict(rate) for name, rate in r.items()} for r in rounds]
    report["ratios"] = ratios(rounds) if rounds else {}
    if not options.no_counts:
        report["counts"] = {
            "engine": bench.counts(COUNTED_MODEL),
            "timm": timm_counts(bench, COUNTED_MODEL),
        }
    if options.fifty_thousand:
        report["memory_mb"] = memory_beyond_model(bench, 50_000)
    return report


def one_round(bench: Any, artifacts: dict[str, Any], images: int) -> Rates:
    """Everything once, in turn; inference alone before and after each pass that it bounds."""
    rates: Rates = {"decode": bench.decoding_rate(images)}
    for precision, artifact in artifacts.items():
        bench.clear_cache()
        for which in ("first", "later"):
            before = bench.inference_rate(artifact)
            steady, whole = bench.evaluation_rate(artifact, images)
            after = bench.inference_rate(artifact)
            rates[f"{which} {precision} inference"] = mean(before, after)
            rates[f"{which} {precision}"] = steady
            rates[f"{which} {precision} whole"] = whole
    rates["timm"] = timm_rate(bench, TORCH_IMAGES)
    told = {name: [round(rate.wall, 1), round(rate.core, 1)] for name, rate in rates.items()}
    print(f"round: {json.dumps(told)}")
    sys.stdout.flush()
    return rates


def read_rounds(path: Path | None) -> list[Rates]:
    """The rounds of earlier calls."""
    if path is None or not path.is_file():
        return []
    kept = json.loads(path.read_text())
    return [{name: Rate(**rate) for name, rate in rates.items()} for rates in kept]


def keep_rounds(path: Path | None, rounds: list[Rates]) -> None:
    """Writes them where a later call finds them."""
    if path is not None:
        plain = [{name: asdict(rate) for name, rate in rates.items()} for rates in rounds]
        path.write_text(json.dumps(plain))


@dataclass(frozen=True, slots=True)
class Rate:
    """Images a second by the clock, and a second of processor time of one core."""

    wall: float
    core: float


Rates = dict[str, Rate]


class Stretch:
    """Clock and processor time, children included, since it was made."""

    def __init__(self) -> None:
        self.wall, self.core = time.perf_counter(), self._core()

    def rate(self, images: int) -> Rate:
        """Of so many images done meanwhile."""
        return Rate(images / (time.perf_counter() - self.wall), images / (self._core() - self.core))

    @staticmethod
    def _core() -> float:
        own = psutil.Process()
        times = own.cpu_times()
        spent = times.user + times.system + times.children_user + times.children_system
        for child in own.children(recursive=True):
            try:
                spent += sum(child.cpu_times()[:2])
            except psutil.Error:
                continue
        return spent


def mean(a: Rate, b: Rate) -> Rate:
    """Of two measurements of one thing."""
    return Rate((a.wall + b.wall) / 2, (a.core + b.core) / 2)


def ratios(rounds: list[Rates]) -> dict[str, dict[str, float]]:
    """The median over the rounds of each ratio that has a bar, by clock and by processor time."""

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
        for which in ("first", "later"):
            found[f"{p}: {which} pass, start to end / timm"] = medians(
                lambda r, by, p=p, which=which: (
                    getattr(r[f"{which} {p} whole"], by) / getattr(r["timm"], by)
                )
            )
    return found


def timm_loader(bench: Any, model: str, images: int) -> Any:
    """timm's data set, transforms and loader, as its validate.py makes them (CPU, fp32)."""
    from timm.data import create_loader
    from timm.data.dataset import ImageDataset

    spec = bench.preprocess_of(model)
    dataset = ImageDataset(str(bench.class_folders(images)))
    return create_loader(
        dataset,
        input_size=(3, spec.crop, spec.crop),
        batch_size=BATCH,
        use_prefetcher=False,
        interpolation=str(spec.interpolation),
        mean=spec.mean,
        std=spec.std,
        crop_pct=spec.crop / (spec.resize or spec.crop),
        num_workers=bench.threads,
        is_training=False,
    )


def timm_pass(bench: Any, model: str, images: int, weights: Path | None) -> tuple[Rate, int, int]:
    """(rate, top-1, top-5 counts) of a loop as in validate.py, model and loader made before."""
    import timm
    import torch

    network = timm.create_model(model.partition("/")[2], pretrained=False)
    if weights is not None:
        from safetensors.torch import load_file

        network.load_state_dict(load_file(weights))
    network.eval()
    loader = timm_loader(bench, model, images)
    top1 = top5 = 0
    with torch.inference_mode():
        network(torch.zeros(BATCH, 3, *(2 * [bench.preprocess_of(model).crop])))
        stretch = Stretch()
        for inputs, target in loader:
            best = network(inputs).topk(5, dim=1).indices
            hits = best.eq(target[:, None])
            top1, top5 = top1 + int(hits[:, 0].sum()), top5 + int(hits.any(dim=1).sum())
        return stretch.rate(len(loader.dataset)), top1, top5


def timm_rate(bench: Any, images: int) -> Rate:
    """Images a second of timm's loop."""
    return timm_pass(bench, SPEED_MODEL, images, None)[0]


def timm_counts(bench: Any, model: str) -> tuple[int, int]:
    """Counts of timm's loop with the real weights."""
    _, top1, top5 = timm_pass(bench, model, 1000, bench.real_weights)
    return top1, top5


def memory_beyond_model(bench: Any, images: int) -> float:
    """Most memory (proportional set size, all processes) over the evaluation, less the model's."""
    artifact = bench.build(COUNTED_MODEL, "fp32")
    own = psutil.Process()
    peak, stop = [0.0], threading.Event()

    def watch() -> None:
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
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        _, rate = bench.evaluation_rate(artifact, images)
    finally:
        stop.set()
        watcher.join()
    print(
        f"{images:,} images: {rate.wall:,.0f} images/s, {peak[0] - before:,.0f} MB beyond the model"
    )
    return peak[0] - before


def parallel_rate(run: Callable[[int], object], threads: int, batches: int) -> Rate:
    """Images a second of `run`, called for so many batches by so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        stretch = Stretch()
        list(pool.map(run, range(batches)))
        return stretch.rate(batches * BATCH)


BARS = {
    "fp32: first pass / bound": 0.90,
    "int8: first pass / bound": 0.90,
    "fp32: later pass / pure inference": 0.95,
    "int8: later pass / pure inference": 0.95,
    "fp32: first pass, start to end / timm": 2.0,
    "int8: first pass, start to end / timm": 5.0,
}


def show(report: dict[str, Any]) -> None:
    """The table, and the document."""
    print("\n| ratio (median) | by the clock | by processor time | bar |")
    print("| --- | --- | --- | --- |")
    for name, by in report["ratios"].items():
        bar = BARS.get(name)
        verdict = "–" if bar is None else f"{bar:g} {'met' if by['wall'] >= bar else 'MISSED'}"
        print(f"| {name} | {by['wall']:.3f} | {by['core']:.3f} | {verdict} |")
    if "counts" in report:
        same = list(report["counts"]["engine"]) == list(report["counts"]["timm"])
        print(f"| counts {report['counts']} | | | {'identical' if same else 'DIFFERENT'} |")
    print(json.dumps(report))


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()

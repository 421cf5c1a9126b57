"""What the benchmark itself costs: its windows against a bare loop of `session.run`.

    python -m benchmarks.harness MODEL.onnx [MODEL.onnx ...] [--pairs 60] [--seconds 0.5]

Both ask the same session for the same input, in turn in one process, each first in every other
pair, so that a drift of the machine falls on both. A pair's ratio is the time of a request in the
windows over that in the bare loop; printed is the median over all pairs with its distribution-free
95 % interval (order statistics). The windows are those of a real benchmark, with the thread that
watches the machine running; the bare loop looks at the clock before and after, and nothing else.
A quick network at batch 1 is the hard case: there the same microseconds are the largest share.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort

from engine.benchmark.interference import InterferenceMonitor
from engine.benchmark.windows import take_window
from engine.common.stats import median_interval
from engine.runtimes.onnx_runtime import OnnxRuntime

CPU = "CPUExecutionProvider"
BAR = 1.01
WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Overhead:
    """Of one model at one batch: ms a request of each, and the ratio with its interval."""

    model: str
    batch: int
    threads: int
    pairs: int
    bare_ms: float
    harness_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    watching_cores: float

    def line(self) -> str:
        """For people."""
        verdict = "within" if self.ratio <= BAR else "over"
        return (
            f"{self.model}: bare {self.bare_ms:.4f} ms, harness {self.harness_ms:.4f} ms a "
            f"request, ratio {self.ratio:.4f} ({self.ratio_low:.4f} to {self.ratio_high:.4f}), "
            f"{verdict} 1 %"
        )


def main() -> None:
    """Measures every model and prints a line each, then one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, help="ONNX files with one image input.")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.5, help="Of each half of a pair.")
    options = parser.parse_args()
    found = []
    for path in options.models:
        case = Case(path, options.batch, options.threads)
        found.append(case.overhead(options.pairs, options.seconds))
        print(found[-1].line(), flush=True)
    print(json.dumps([asdict(one) for one in found], indent=1))


class Case:
    """One model, loaded once: asked bare and through the windows of a benchmark."""

    def __init__(self, path: Path, batch: int, threads: int) -> None:
        """The runtime is the one that benchmarks use; the bare loop asks the session in it."""
        self.path, self.batch, self.threads = path, batch, threads
        self.runtime = OnnxRuntime(path, CPU, threads)
        self.session: ort.InferenceSession = self.runtime._session
        given = self.session.get_inputs()[0]
        side = given.shape[-1]
        random = np.random.default_rng(0)
        self.images = random.standard_normal((batch, 3, side, side)).astype(np.float32)
        self.feed = {given.name: self.images}
        self.outputs = [self.session.get_outputs()[0].name]
        self.runners = [partial(self.runtime.run, self.images)]

    def bare_ms(self, requests: int) -> float:
        """Mean time of a request in a loop that does nothing but ask."""
        run, outputs, feed = self.session.run, self.outputs, self.feed
        begun = time.perf_counter()
        for _ in range(requests):
            run(outputs, feed)
        return (time.perf_counter() - begun) * 1e3 / requests

    def harness_ms(self, seconds: float) -> float:
        """Time of a request as a window's throughput has it."""
        window = take_window(self.runners, self.batch, seconds)
        return 1e3 * self.batch / window.images_per_s

    def overhead(self, pairs: int, seconds: float) -> Overhead:
        """Both in turn, so often."""
        self.harness_ms(WARM_UP_S)
        requests = max(10, round(seconds * 1e3 / self.harness_ms(seconds)))
        halves = [partial(self.bare_ms, requests), partial(self.harness_ms, seconds)]
        times = np.zeros((pairs, 2))
        with InterferenceMonitor(time.process_time) as watch:
            for number in range(pairs):
                for which in (0, 1) if number % 2 else (1, 0):
                    times[number, which] = halves[which]()
        ratios = times[:, 1] / times[:, 0]
        low, high = median_interval(ratios)
        bare, harness = (float(value) for value in np.median(times, axis=0))
        return Overhead(
            model=f"{self.path.parent.name[:12]}/{self.path.name}",
            batch=self.batch,
            threads=self.threads,
            pairs=pairs,
            bare_ms=bare,
            harness_ms=harness,
            ratio=float(np.median(ratios)),
            ratio_low=low,
            ratio_high=high,
            watching_cores=watch.summary().watching_cores,
        )


if __name__ == "__main__":
    main()

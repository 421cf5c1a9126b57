"""Overhead of the benchmark itself: its windows compared with a bare loop of `session.run`.

    python -m benchmarks.harness MODEL.onnx [MODEL.onnx ...] [--pairs 60] [--seconds 0.5]

Both run the same session with the same input, alternating in one process, with alternating order,
so that a drift of the machine affects both. The ratio of a pair is the time per request in the
windows over that in the bare loop; the output is the median over all pairs with its
distribution-free 95 % interval (order statistics). The windows are those of a real benchmark, with
the interference monitor running; the bare loop reads the clock only at its start and end. A fast
network at batch 1 is the hardest case, because the overhead is the largest share there.
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
from engine.runtimes.onnxruntime import OnnxSession

CPU = "CPUExecutionProvider"
MAX_RATIO = 1.01
WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Overhead:
    """One model at one batch size: ms per request of both loops, and their ratio with interval."""

    model: str
    batch: int
    threads: int
    pairs: int
    bare_ms: float
    harness_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    monitor_cores: float

    def line(self) -> str:
        """One line of text."""
        verdict = "within" if self.ratio <= MAX_RATIO else "over"
        return (
            f"{self.model}: bare {self.bare_ms:.4f} ms, harness {self.harness_ms:.4f} ms per "
            f"request, ratio {self.ratio:.4f} ({self.ratio_low:.4f} to {self.ratio_high:.4f}), "
            f"{verdict} 1 %"
        )


def main() -> None:
    """Measures every model; prints one line each, then one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, help="ONNX files with one image input.")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="Duration of each half of a pair."
    )
    options = parser.parse_args()
    results = []
    for path in options.models:
        case = Case(path, options.batch, options.threads)
        results.append(case.overhead(options.pairs, options.seconds))
        print(results[-1].line(), flush=True)
    print(json.dumps([asdict(result) for result in results], indent=1))


class Case:
    """One model, loaded once, that runs in a bare loop and in the windows of a benchmark."""

    def __init__(self, path: Path, batch: int, threads: int) -> None:
        """The runtime is that of benchmarks; the bare loop uses the session inside it."""
        self.path, self.batch, self.threads = path, batch, threads
        self.runtime = OnnxSession(path, CPU, threads)
        request = self.runtime.request()
        assert isinstance(request, partial)  # of a function with the session as its first argument
        self.session: ort.InferenceSession = request.args[0]
        input_info = self.session.get_inputs()[0]
        side = input_info.shape[-1]
        random = np.random.default_rng(0)
        self.images = random.standard_normal((batch, 3, side, side)).astype(np.float32)
        self.feed = {input_info.name: self.images}
        self.outputs = [self.session.get_outputs()[0].name]
        self.runners = [partial(request, self.images)]

    def bare_ms(self, requests: int) -> float:
        """Mean time per request in ms, in a loop that only runs the session."""
        run, outputs, feed = self.session.run, self.outputs, self.feed
        begun = time.perf_counter()
        for _ in range(requests):
            run(outputs, feed)
        return (time.perf_counter() - begun) * 1e3 / requests

    def harness_ms(self, seconds: float) -> float:
        """Time per request in ms, from the throughput of a window."""
        window = take_window(self.runners, self.batch, seconds)
        return 1e3 * self.batch / window.images_per_s

    def overhead(self, pairs: int, seconds: float) -> Overhead:
        """Runs both loops alternately, `pairs` times."""
        self.harness_ms(WARM_UP_S)
        requests = max(10, round(seconds * 1e3 / self.harness_ms(seconds)))
        halves = [partial(self.bare_ms, requests), partial(self.harness_ms, seconds)]
        times = np.zeros((pairs, 2))
        with InterferenceMonitor(time.process_time) as monitor:
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
            monitor_cores=monitor.summary().monitor_cores,
        )


if __name__ == "__main__":
    main()

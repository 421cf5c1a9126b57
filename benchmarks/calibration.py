"""Time and memory of calibration against plain fp32 inference over the same prepared images.

    python -m benchmarks.calibration REAL_DATA [--model timm/seresnet50] [--images 1000]

REAL_DATA is the folder of photographs that SENET_REAL_DATA names; weights are random. Each method
runs in its own process, so that the peak memory is that of one calibration; plain inference follows
in the same process, on the same images, batches and threads. Calibration is measured without
decoding: both passes, equalization, and the choice of ranges. Limits: `max` at most 1.5 times plain
inference, the other methods 2.5 times; peak memory within 10 % of that for a tenth of the images,
and under 2.5 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

MODES = ("max", "percentile", "kl_divergence", "mse")
BATCH, PERCENTILE = 16, 99.999
RATIO_LIMITS = {"max": 1.5}
DEFAULT_RATIO_LIMIT = 2.5
GROWTH_LIMIT, PEAK_LIMIT_MB = 1.10, 2500.0


@dataclass(frozen=True, slots=True)
class Row:
    """One calibration method: wall time and CPU time in s for `images` images, peak memory in MB
    for all images (`peak_mb`) and for a tenth of them (`peak_few_mb`).
    """

    mode: str
    images: int
    plain_s: float
    calibrate_s: float
    plain_core_s: float
    calibrate_core_s: float
    peak_few_mb: float
    peak_mb: float

    @property
    def ratio(self) -> float:
        """Wall time relative to plain inference."""
        return self.calibrate_s / self.plain_s

    @property
    def core_ratio(self) -> float:
        """CPU time relative to plain inference."""
        return self.calibrate_core_s / self.plain_core_s

    @property
    def growth(self) -> float:
        """Peak memory for all images relative to that for a tenth of them."""
        return self.peak_mb / self.peak_few_mb

    @property
    def meets_limits(self) -> bool:
        """Whether all three limits are met."""
        limit = RATIO_LIMITS.get(self.mode, DEFAULT_RATIO_LIMIT)
        return self.ratio <= limit and self.growth <= GROWTH_LIMIT and self.peak_mb < PEAK_LIMIT_MB


def measure(
    model: Path, images: Path, side: int, count: int, modes: Sequence[str] = MODES, threads: int = 0
) -> list[Row]:
    """One row per calibration method, for an fp32 ONNX file.

    `images`: a file of float32 (3, side, side) images; they repeat where it has fewer than `count`.
    """
    rows = []
    for mode in modes:
        small, full = (
            _measure_in_process(model, images, side, number, mode, threads)
            for number in (max(count // 10, 1), count)
        )
        rows.append(
            Row(
                mode=mode,
                images=count,
                plain_s=full["plain_s"],
                calibrate_s=full["calibrate_s"],
                plain_core_s=full["plain_core_s"],
                calibrate_core_s=full["calibrate_core_s"],
                peak_few_mb=small["peak_mb"],
                peak_mb=full["peak_mb"],
            )
        )
    return rows


def _measure_in_process(
    model: Path, images: Path, side: int, count: int, mode: str, threads: int
) -> dict[str, float]:
    arguments = {
        "model": str(model),
        "images": str(images),
        "side": side,
        "count": count,
        "mode": mode,
        "threads": threads or os.cpu_count() or 1,
    }
    command = [sys.executable, "-m", "benchmarks.calibration", "--case", json.dumps(arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def _measure_case(model: str, images: str, side: int, count: int, mode: str, threads: int) -> None:
    """Prints one JSON object; the peak is read before plain inference runs."""
    import onnx

    from engine.build.int8.pipeline import Calibration, prepare
    from engine.common.environment import peak_rss_mb
    from engine.runtimes.observing import session_of

    graph = onnx.load(model)
    make_batches = lambda: batches(Path(images), side, count)  # noqa: E731

    def plain() -> tuple[float, float]:
        session = session_of(graph, threads)
        name = graph.graph.input[0].name
        session.run(None, {name: next(make_batches())})
        started, cpu_started = time.perf_counter(), time.process_time()
        for batch in make_batches():
            session.run(None, {name: batch})
        return time.perf_counter() - started, time.process_time() - cpu_started

    def calibrate() -> tuple[float, float]:
        started, cpu_started = time.perf_counter(), time.process_time()
        prepare(
            graph,
            Calibration(make_batches, mode, PERCENTILE, threads, lambda stage, share: None, count),
        )
        return time.perf_counter() - started, time.process_time() - cpu_started

    calibrate_s, calibrate_core_s = calibrate()
    peak = peak_rss_mb()
    plain_s, plain_core_s = plain()
    print(
        json.dumps(
            {
                "plain_s": plain_s,
                "calibrate_s": calibrate_s,
                "plain_core_s": plain_core_s,
                "calibrate_core_s": calibrate_core_s,
                "peak_mb": peak,
            }
        )
    )


def batches(images: Path, side: int, count: int) -> Iterator[np.ndarray]:
    """float32 (n, 3, side, side) batches; not memory-mapped, which would add to process memory."""
    size = 3 * side * side
    stored = images.stat().st_size // (4 * size)
    for start in range(0, count, BATCH):
        number, first = min(BATCH, count - start), start % max(stored - BATCH + 1, 1)
        values = np.fromfile(images, np.float32, number * size, offset=4 * size * first)
        yield values.reshape(-1, 3, side, side)


def show(rows: list[Row]) -> None:
    """Prints the table, and the same as one JSON document."""
    titles = ("images", "plain s", "s", "ratio", "CPU", "MB", "growth")
    print("mode          ", *(f"{title:>8}" for title in titles))
    for row in rows:
        print(
            f"{row.mode:14} {row.images:8,} {row.plain_s:8.1f} {row.calibrate_s:8.1f} "
            f"{row.ratio:8.2f} {row.core_ratio:8.2f} {row.peak_mb:8,.0f} {row.growth:8.3f} "
            f"{'within limits' if row.meets_limits else 'OVER A LIMIT'}"
        )
    print(
        json.dumps(
            [
                {
                    **asdict(row),
                    "ratio": row.ratio,
                    "core_ratio": row.core_ratio,
                    "meets_limits": row.meets_limits,
                }
                for row in rows
            ]
        )
    )


def prepared(real_data: Path, model_id: str, folder: Path, stored: int) -> tuple[Path, Path, int]:
    """(fp32 file, file of preprocessed images, side) for a model with random weights."""
    from benchmarks.evaluation_setup import Workbench
    from engine.datasets.reader import read_batches
    from engine.store import artifacts

    bench = Workbench(real_data, folder)
    built = bench.build(model_id, "fp32")
    preprocess = artifacts.preprocess_of(built)
    images = folder / "images.f32"
    with images.open("wb") as stream:
        which = np.arange(min(stored, len(bench.index)))
        for batch in read_batches(bench.index, which, preprocess, BATCH, bench.threads):
            stream.write(batch.tobytes())
    return artifacts.model_path(built.digest), images, preprocess.crop


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real_data", type=Path, nargs="?")
    parser.add_argument("--model", default="timm/seresnet50")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--modes", nargs="*", default=list(MODES))
    parser.add_argument("--home", type=Path, help="Reuse exports and builds in this folder.")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        _measure_case(**json.loads(options.case))
        return
    if options.real_data is None:
        parser.error("REAL_DATA is missing: give the folder of photographs")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SENET_HOME"] = str(options.home or folder)
        os.environ.setdefault("SENET_HOST_LOCK", str(Path(folder) / "host.lock"))
        setup = prepared(options.real_data, options.model, Path(folder), min(options.images, 400))
        show(measure(*setup, options.images, options.modes))


if __name__ == "__main__":
    main()

"""Time and memory of calibration against plain fp32 inference over the same prepared images.

    python -m benchmarks.calibration REAL_DATA [--model timm/seresnet50] [--images 1000]

REAL_DATA is the folder of photographs that SENET_REAL_DATA names; weights are random. Every figure
is of a process of its own, so that a peak is that of one calibration; plain inference follows in
the same process, over the same images in the same batches with the same threads. Calibrating is
everything but decoding: both passes, the equalization, the choice of ranges. Bars: `max` at most
1.5 times plain inference, the others 2.5 times; the peak within 10 % of that over a tenth of the
images, and under 2.5 GB.
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
RATIO_BARS = {"max": 1.5}
OTHER_RATIO_BAR = 2.5
GROWTH_BAR, PEAK_BAR_MB = 1.10, 2500.0


@dataclass(frozen=True, slots=True)
class Row:
    """One mode: seconds over `images` by the clock and of processor time (what it costs, whoever
    else is at work on the machine), peaks of the process in MB over them and over a tenth.
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
        """Times plain inference, by the clock."""
        return self.calibrate_s / self.plain_s

    @property
    def core_ratio(self) -> float:
        """Times plain inference, by processor time."""
        return self.calibrate_core_s / self.plain_core_s

    @property
    def growth(self) -> float:
        """Of the peak, from a tenth of the images to all."""
        return self.peak_mb / self.peak_few_mb

    @property
    def holds(self) -> bool:
        """Whether it keeps all three bars."""
        bar = RATIO_BARS.get(self.mode, OTHER_RATIO_BAR)
        return self.ratio <= bar and self.growth <= GROWTH_BAR and self.peak_mb < PEAK_BAR_MB


def measure(
    model: Path, images: Path, side: int, count: int, modes: Sequence[str] = MODES, threads: int = 0
) -> list[Row]:
    """One row a mode, for an fp32 ONNX file.

    `images` holds float32 (3, side, side) one after the other; fewer than `count` come again.
    """
    rows = []
    for mode in modes:
        few, all_of_them = (
            _in_a_process(model, images, side, number, mode, threads)
            for number in (max(count // 10, 1), count)
        )
        rows.append(
            Row(
                mode=mode,
                images=count,
                plain_s=all_of_them["plain_s"],
                calibrate_s=all_of_them["calibrate_s"],
                plain_core_s=all_of_them["plain_core_s"],
                calibrate_core_s=all_of_them["calibrate_core_s"],
                peak_few_mb=few["peak_mb"],
                peak_mb=all_of_them["peak_mb"],
            )
        )
    return rows


def _in_a_process(
    model: Path, images: Path, side: int, count: int, mode: str, threads: int
) -> dict[str, float]:
    told = {
        "model": str(model),
        "images": str(images),
        "side": side,
        "count": count,
        "mode": mode,
        "threads": threads or os.cpu_count() or 1,
    }
    command = [sys.executable, "-m", "benchmarks.calibration", "--one", json.dumps(told)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def _one(model: str, images: str, side: int, count: int, mode: str, threads: int) -> None:
    """Prints one JSON object; the peak is taken before plain inference could add to it."""
    import onnx

    from engine.build.int8.pipeline import Calibration, prepare
    from engine.common.environment import peak_rss_mb
    from engine.runtimes.observing import session_of

    graph = onnx.load(model)
    given = lambda: batches(Path(images), side, count)  # noqa: E731

    def plain() -> tuple[float, float]:
        session = session_of(graph, threads)
        name = graph.graph.input[0].name
        session.run(None, {name: next(given())})
        began, core = time.perf_counter(), time.process_time()
        for batch in given():
            session.run(None, {name: batch})
        return time.perf_counter() - began, time.process_time() - core

    def calibrate() -> tuple[float, float]:
        began, core = time.perf_counter(), time.process_time()
        prepare(
            graph, Calibration(given, mode, PERCENTILE, threads, lambda stage, seen: None, count)
        )
        return time.perf_counter() - began, time.process_time() - core

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
    """float32 (n, 3, side, side); read, not mapped: mapped files count as memory of the process."""
    size = 3 * side * side
    stored = images.stat().st_size // (4 * size)
    for start in range(0, count, BATCH):
        number, place = min(BATCH, count - start), start % max(stored - BATCH + 1, 1)
        values = np.fromfile(images, np.float32, number * size, offset=4 * size * place)
        yield values.reshape(-1, 3, side, side)


def show(rows: list[Row]) -> None:
    """The table, and one JSON document of it."""
    titles = ("images", "plain s", "s", "ratio", "of cores", "MB", "growth")
    print("mode          ", *(f"{title:>8}" for title in titles))
    for row in rows:
        print(
            f"{row.mode:14} {row.images:8,} {row.plain_s:8.1f} {row.calibrate_s:8.1f} "
            f"{row.ratio:8.2f} {row.core_ratio:8.2f} {row.peak_mb:8,.0f} {row.growth:8.3f} "
            f"{'keeps the bars' if row.holds else 'BEYOND A BAR'}"
        )
    print(
        json.dumps(
            [
                {
                    **asdict(row),
                    "ratio": row.ratio,
                    "core_ratio": row.core_ratio,
                    "holds": row.holds,
                }
                for row in rows
            ]
        )
    )


def prepared(real_data: Path, model_id: str, folder: Path, stored: int) -> tuple[Path, Path, int]:
    """(fp32 file, file of prepared images, side) for a model with random weights."""
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
    parser.add_argument("--home", type=Path, help="Keep exports and builds here between calls.")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _one(**json.loads(options.one))
        return
    if options.real_data is None:
        parser.error("name the folder of photographs")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SENET_HOME"] = str(options.home or folder)
        os.environ.setdefault("SENET_HOST_LOCK", str(Path(folder) / "host.lock"))
        given = prepared(options.real_data, options.model, Path(folder), min(options.images, 400))
        show(measure(*given, options.images, options.modes))


if __name__ == "__main__":
    main()

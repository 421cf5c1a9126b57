"""End to end: a request is one or more image files, from reading them to their scores.

The steps are those of an evaluation: decode and resize, normalize, infer. A window is a whole
number of passes over the same files, so that every window does the same work. The files are read
once before, so they come from the page cache of the system: what a disk adds is not measured.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from engine.benchmark.windows import Window, run_in_threads
from engine.datasets.reader import DatasetIndex
from engine.datasets.sampling import sample_by_class
from engine.errors import BenchmarkFailed, ImageRejected
from engine.preprocess import PreprocessSpec, crop_pixels, normalize_planar, open_image

STAGES = ("decode and resize", "normalize", "infer")
SAMPLE_FILES = 64
SEED = 0
Infer = Callable[[np.ndarray], object]


def readable_files(index: DatasetIndex, spec: PreprocessSpec) -> list[Path]:
    """A sample of the files of a dataset, by class, without those that cannot be preprocessed.

    Raises BenchmarkFailed where none is left.
    """
    files = []
    for position in sample_by_class(index.labels, SAMPLE_FILES, SEED):
        path = index.root / index.files[int(position)]
        try:
            crop_pixels(open_image(path), spec)
        except ImageRejected:
            continue
        files.append(path)
    if not files:
        raise BenchmarkFailed(
            f"No image of {index.name} can be read: register its folder again with `dataset add`."
        )
    return files


class FilePasses:
    """Passes over files, by requests of `batch` files; several run at once, one in each thread.

    `stages_ms`: for each window the times of its requests, (requests, len(STAGES)).
    """

    def __init__(
        self, requests: Sequence[Infer], files: Sequence[Path], spec: PreprocessSpec, batch: int
    ) -> None:
        self._requests, self._files, self._spec, self._batch = requests, files, spec, batch
        self._in_pass = -(-len(files) // batch)
        self.stages_ms: list[np.ndarray] = []

    def take(self, seconds: float) -> Window:
        """One window: whole passes until `seconds` are over."""
        times: list[tuple[float, ...]] = []
        lock, started = threading.Lock(), time.perf_counter()
        numbers = self._numbers(lambda: time.perf_counter() - started >= seconds)

        def work(infer: Infer) -> None:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                times.append(self._request(infer, number))

        run_in_threads(work, self._requests)
        elapsed = time.perf_counter() - started
        taken = np.asarray(times)
        self.stages_ms.append(taken)
        return Window(elapsed, len(taken) * self._batch, taken.sum(axis=1))

    def _numbers(self, late: Callable[[], bool]) -> Iterator[int]:
        """The numbers of the requests of whole passes, until a pass ends late."""
        while True:
            yield from range(self._in_pass)
            if late():
                return

    def _request(self, infer: Infer, number: int) -> tuple[float, ...]:
        """The times of the stages of one request, in ms."""
        begun = time.perf_counter()
        side = self._spec.crop
        pixels = np.empty((self._batch, 3, side, side), np.uint8)
        for place in range(self._batch):
            file = self._files[(number * self._batch + place) % len(self._files)]
            pixels[place] = crop_pixels(open_image(file), self._spec).transpose(2, 0, 1)
        decoded = time.perf_counter()
        inputs = normalize_planar(pixels, self._spec)
        normalized = time.perf_counter()
        infer(inputs)
        ended = time.perf_counter()
        marks = (begun, decoded, normalized, ended)
        return tuple(1e3 * (after - before) for before, after in itertools.pairwise(marks))

    def mean_stages_ms(self, windows: int) -> dict[str, float]:
        """Mean time of each stage over the requests of the last `windows` windows."""
        means = np.concatenate(self.stages_ms[-windows:]).mean(axis=0)
        return {name: round(float(ms), 4) for name, ms in zip(STAGES, means, strict=True)}

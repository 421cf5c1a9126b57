"""The machine's own speed between two windows: a fixed matrix product on every core.

It runs in a process of its own that waits on a pipe between readings, so that it takes no time from
what is measured. A change of the machine (another clock, a busy neighbor on the same hardware)
shows in the readings of all builds alike; a change of one build only does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

import psutil

from engine.config import settings
from engine.errors import BenchmarkFailed

READING_S = 0.02
SETTLE_S = 0.03
"""Pause between a window and a reading, in which the runtime's threads stop to wait actively."""
SIDE = 192
"""Rows and columns of the matrices: they fit into the cache of a core."""
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Speedometer:
    """A started process; `read` takes one reading. A context manager."""

    def __init__(self) -> None:
        """Starts the process on all usable cores, each with one thread."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.benchmark.speedometer", str(settings().threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **SINGLE_THREADED},
        )
        self.read()

    def read(self) -> float:
        """The speed of the machine now, in GFLOP/s; takes READING_S.

        Raises BenchmarkFailed when the process has ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        try:
            if stdin is None or stdout is None:
                raise EOFError
            stdin.write("\n")
            return float(stdout.readline())
        except (OSError, EOFError, ValueError) as error:
            raise BenchmarkFailed(
                "The process that measures the machine's own speed ended; run the benchmark again."
            ) from error

    def cpu_time_s(self) -> float:
        """CPU time of the process so far, in core seconds; 0 after its end."""
        try:
            used = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(used.user + used.system)

    def __enter__(self) -> Self:
        """The speedometer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def main(threads: int) -> None:
    """Answers each line of the standard input with a reading, until its end."""
    import numpy as np

    matrix = np.ones((SIDE, SIDE), np.float32)

    def multiply(result: np.ndarray, until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            np.matmul(matrix, matrix, out=result)
            count += 1
        return count

    results = [np.empty_like(matrix) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in sys.stdin:
            begun = time.perf_counter()
            work = partial(multiply, until=begun + READING_S)
            products = sum(pool.map(work, results))
            elapsed = time.perf_counter() - begun
            print(2 * SIDE**3 * products / elapsed / 1e9, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))

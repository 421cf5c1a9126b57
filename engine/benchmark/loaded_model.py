"""One artifact loaded into one or several sessions of one process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from engine.benchmark.windows import Runners, Window, take_window
from engine.common.environment import peak_rss_mb
from engine.runtimes.onnx_runtime import OnnxRuntime


@dataclass(frozen=True, slots=True)
class ProcessConfig:
    """What one process loads: `instances` sessions of a model file on a provider.

    `threads`: intra-op threads of each session; `shape`: of the input (n, 3, side, side); `seed`:
    of the random input.
    """

    path: Path
    provider: str
    threads: int
    instances: int
    shape: tuple[int, ...]
    seed: int

    @property
    def batch(self) -> int:
        """Images per request."""
        return self.shape[0]


class LoadedModel:
    """The sessions of this process; `measure_window` runs all of them at once."""

    def __init__(self, config: ProcessConfig) -> None:
        """Loads all sessions and runs the first one once.

        `load_ms` is the mean load time of a session, `first_inference_ms` the time of that run.
        """
        self.batch = config.batch
        begun = time.perf_counter()
        sessions = [
            OnnxRuntime(config.path, config.provider, config.threads)
            for _ in range(config.instances)
        ]
        self.load_ms = (time.perf_counter() - begun) * 1e3 / config.instances
        self.nodes = sessions[0].nodes
        random = np.random.default_rng(config.seed)
        images = random.standard_normal(config.shape).astype(np.float32)
        begun = time.perf_counter()
        sessions[0].run(images)
        self.first_inference_ms = (time.perf_counter() - begun) * 1e3
        self.runners: Runners = [partial(session.run, images) for session in sessions]

    def measure_window(self, seconds: float) -> Window:
        """One window with all sessions running at once."""
        return take_window(self.runners, self.batch, seconds)

    def cpu_time_s(self) -> float:
        """CPU time of this process so far, in core seconds."""
        return time.process_time()

    @property
    def peak_rss_mb(self) -> float:
        """Peak resident memory of this process, in MB."""
        return peak_rss_mb()

    def __enter__(self) -> LoadedModel:
        """Returns itself."""
        return self

    def __exit__(self, *ended: object) -> None:
        """Does nothing: the sessions end with the process."""

"""One artifact loaded into one or several sessions of one process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from engine.benchmark.windows import MIN_REQUESTS, Runners, Window, take_window
from engine.common.environment import peak_rss_mb
from engine.runtimes import registry
from engine.runtimes.base import LoadOptions, Request


@dataclass(frozen=True, slots=True)
class ProcessConfig:
    """What one process loads: a model file, executed by a runtime on a provider.

    `instances`: concurrency (requests in flight); `threads`: intra-op threads of each request;
    `shape`: of the input (n, 3, side, side); `seed`: of the random input.
    """

    runtime: str
    path: Path
    precision: str
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
    """A model loaded in this process; `measure_window` runs all of its requests at once."""

    def __init__(self, config: ProcessConfig) -> None:
        """Loads the model and runs the first request once.

        `load_ms` is the mean load time of a copy, `first_inference_ms` the time of that request.
        """
        self.batch = config.batch
        begun = time.perf_counter()
        options = LoadOptions(config.threads, config.instances, batch=config.batch)
        self._session = registry.load(
            config.runtime, config.path, config.precision, config.provider, options
        )
        self.load_ms = (time.perf_counter() - begun) * 1e3 / self._session.copies
        self.nodes, self.settings = self._session.placement, self._session.settings
        requests = [self._session.request() for _ in range(config.instances)]
        self.requests: Sequence[Request] = requests
        random = np.random.default_rng(config.seed)
        images = random.standard_normal(config.shape).astype(np.float32)
        begun = time.perf_counter()
        requests[0](images)
        self.first_inference_ms = (time.perf_counter() - begun) * 1e3
        self.runners: Runners = [partial(request, images) for request in requests]

    def measure_window(self, seconds: float, min_requests: int = MIN_REQUESTS) -> Window:
        """One window with all requests running at once."""
        return take_window(self.runners, self.batch, seconds, min_requests)

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
        """Unloads the model."""
        self._session.__exit__(None, None, None)

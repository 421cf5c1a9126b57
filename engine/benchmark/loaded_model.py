"""One artifact loaded once or several times in one process, ready to be asked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from engine.benchmark.windows import Runners, Window, take_window
from engine.common.environment import peak_rss_mb
from engine.runtimes import registry
from engine.runtimes.base import LoadOptions


@dataclass(frozen=True, slots=True)
class Member:
    """What one process loads: a model, executed by a runtime on a provider.

    `instances` are the requests in flight.
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
        """Images in a request."""
        return self.shape[0]


class Alone:
    """One member in this process; `window` measures with all of its requests."""

    def __init__(self, member: Member) -> None:
        """Loads, and asks the first request once: `load_ms` of one, `first_ms` of that request."""
        self.batch = member.batch
        begun = time.perf_counter()
        options = LoadOptions(member.threads, member.instances)
        self._session = registry.load(
            member.runtime, member.path, member.precision, member.provider, options
        )
        self.load_ms = (time.perf_counter() - begun) * 1e3 / self._session.copies
        self.nodes = self._session.placement
        requests = [self._session.request() for _ in range(member.instances)]
        random = np.random.default_rng(member.seed)
        images = random.standard_normal(member.shape).astype(np.float32)
        begun = time.perf_counter()
        requests[0](images)
        self.first_ms = (time.perf_counter() - begun) * 1e3
        self.runners: Runners = [partial(request, images) for request in requests]

    def window(self, seconds: float) -> Window:
        """One window of all requests at once."""
        return take_window(self.runners, self.batch, seconds)

    def cpu_s(self) -> float:
        """Processor time of this process so far."""
        return time.process_time()

    @property
    def peak_rss_mb(self) -> float:
        """The most memory it held."""
        return peak_rss_mb()

    def __enter__(self) -> Alone:
        """Itself."""
        return self

    def __exit__(self, *ended: object) -> None:
        """Gives the model back."""
        self._session.__exit__(None, None, None)

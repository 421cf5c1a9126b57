"""One artifact loaded once or several times in one process, ready to be asked."""

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
class Member:
    """What one process loads: so many sessions of a model on a provider."""

    path: Path
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
    """The sessions of one member in this process; `window` measures with all of them."""

    def __init__(self, member: Member) -> None:
        """Loads, and asks the first session once: `load_ms` of one, `first_ms` of that request."""
        self.batch = member.batch
        begun = time.perf_counter()
        sessions = [
            OnnxRuntime(member.path, member.provider, member.threads)
            for _ in range(member.instances)
        ]
        self.load_ms = (time.perf_counter() - begun) * 1e3 / member.instances
        self.nodes = sessions[0].nodes
        random = np.random.default_rng(member.seed)
        images = random.standard_normal(member.shape).astype(np.float32)
        begun = time.perf_counter()
        sessions[0].run(images)
        self.first_ms = (time.perf_counter() - begun) * 1e3
        self.runners: Runners = [partial(session.run, images) for session in sessions]

    def window(self, seconds: float) -> Window:
        """One window of all sessions at once."""
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
        """Nothing to end."""

"""The CPU time of a small graph in ONNX Runtime, on one thread."""

from __future__ import annotations

import time

import numpy as np
import onnxruntime as ort
from onnx import ModelProto

from engine.runtimes.onnxruntime import options_of, session_over


class TimedGraph:
    """A graph as it stands, without optimizations, run on the thread that calls it.

    CPU time does not count what other programs take meanwhile, so that graphs can be compared on
    a machine that is not idle.
    """

    def __init__(self, model: ModelProto, feeds: dict[str, np.ndarray]) -> None:
        options = options_of(1, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
        self._session = session_over(model.SerializeToString(), options)
        self._feeds = feeds
        self.cpu_ms()  # the first run allocates memory

    def cpu_ms(self) -> float:
        """CPU time of one run."""
        started = time.thread_time()
        self._session.run(None, self._feeds)
        return (time.thread_time() - started) * 1e3

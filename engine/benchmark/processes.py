"""The processes that measure one artifact, each with its own sessions.

All start a window together and send back its results, which are merged into one window. Between
windows they wait on a pipe. A process ends when its pipe closes, so none outlives the benchmark.
"""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np
import psutil

from engine.benchmark.loaded_model import LoadedModel, ProcessConfig
from engine.benchmark.windows import Runners, Window
from engine.errors import BenchmarkFailed

WARM_AGAIN_S = 0.05
"""Requests before a window that are not counted: the caches hold what was measured before."""


class ProcessGroup:
    """Started processes with loaded sessions; `measure_window` runs all of them at once."""

    def __init__(self, configs: list[ProcessConfig]) -> None:
        """Starts a process for each config. Raises BenchmarkFailed when one cannot start."""
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for config in configs:
            parent_end, child_end = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(child_end, config), daemon=True)
            process.start()
            child_end.close()
            self._pipes.append(parent_end)
            self._processes.append(process)
        try:
            loaded = self._gather()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        self.batch = configs[0].batch
        self.runners: Runners = []
        self.load_ms = max(answer["load_ms"] for answer in loaded)
        self.first_inference_ms = max(answer["first_inference_ms"] for answer in loaded)
        self.nodes = loaded[0]["nodes"]
        self.peak_rss_mb = 0.0

    def measure_window(self, seconds: float) -> Window:
        """One window with all processes at once; its duration is that of the slowest process."""
        answers = self._gather(seconds)
        self.peak_rss_mb = sum(answer["peak_rss_mb"] for answer in answers)
        return Window(
            max(answer["elapsed_s"] for answer in answers),
            sum(answer["images"] for answer in answers),
            np.concatenate([answer["latencies_ms"] for answer in answers]),
        )

    def cpu_time_s(self) -> float:
        """CPU time of the processes so far, in core seconds."""
        total = 0.0
        for process in self._processes:
            with suppress(psutil.Error):
                used = psutil.Process(process.pid).cpu_times()
                total += used.user + used.system
        return total

    def _gather(self, window_s: float | None = None) -> list[dict[str, Any]]:
        """One answer of each process; with `window_s`, each first measures such a window."""
        try:
            for pipe in self._pipes if window_s is not None else ():
                pipe.send(window_s)
            answers = [pipe.recv() for pipe in self._pipes]
        except (EOFError, ConnectionError) as error:
            raise BenchmarkFailed(
                "A benchmark process died, possibly out of memory: choose fewer processes or a "
                "smaller batch."
            ) from error
        for answer in answers:
            if "error" in answer:
                raise answer["error"]
        return answers

    def __enter__(self) -> ProcessGroup:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends every process."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()


def _serve(pipe: Connection, config: ProcessConfig) -> None:
    try:
        model = LoadedModel(config)
        loaded = {
            "load_ms": model.load_ms,
            "first_inference_ms": model.first_inference_ms,
            "nodes": model.nodes,
        }
        pipe.send(loaded)
        while True:
            window_s = pipe.recv()
            model.measure_window(min(WARM_AGAIN_S, window_s), min_requests=1)
            window = model.measure_window(window_s)
            pipe.send(
                {
                    "elapsed_s": window.elapsed_s,
                    "images": window.images,
                    "latencies_ms": window.latencies_ms,
                    "peak_rss_mb": model.peak_rss_mb,
                }
            )
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        pipe.send({"error": error})

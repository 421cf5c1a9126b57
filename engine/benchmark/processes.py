"""The processes that measure one artifact, each with its own sessions.

All start a window together and send back its results, which are merged into one window. Between
windows they wait on a pipe. A process ends when its pipe closes, so none outlives the benchmark.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import get_temp_dir
from types import TracebackType
from typing import Any

import numpy as np
import psutil

from engine.benchmark.loaded_model import LoadedModel, ProcessConfig
from engine.benchmark.windows import Runners, Window
from engine.errors import BenchmarkFailed

MAX_SOCKET_FOLDER = 60
TURN_MIN_REQUESTS = 3
"""Requests of one window at least: a session has many windows of each build."""
SHORT_FOLDER = "/tmp"  # noqa: S108 (a folder of its own is made in it)
PRELOADED = ("__main__", "engine.benchmark.loaded_model")
"""Modules that the server process imports once, beside those of the runtimes."""


def preload(runtimes: Iterable[str]) -> None:
    """Names the runtimes of a session, before its first process is started."""
    _shorten_socket_path()
    modules = [f"engine.runtimes.{name}" for name in dict.fromkeys(runtimes)]
    multiprocessing.get_context("forkserver").set_forkserver_preload([*PRELOADED, *modules])


def _shorten_socket_path() -> None:
    """Places the socket of the server process in a folder whose path is short enough for one.

    The temporary folder of a job is inside the home, and the path of a socket has about 100
    characters at most. The folder is made once in a process and removed at its end.
    """
    configured = tempfile.gettempdir()
    if len(configured) > MAX_SOCKET_FOLDER:
        tempfile.tempdir = SHORT_FOLDER
    try:
        get_temp_dir()
    finally:
        tempfile.tempdir = configured


class ProcessGroup:
    """Started processes with loaded sessions; `measure_window` runs all of them at once.

    They are forked from a server process that has imported the runtime and loaded nothing: a fresh
    start costs little more than loading the model.
    """

    def __init__(self, configs: list[ProcessConfig]) -> None:
        """Starts a process for each config. Raises BenchmarkFailed when one cannot start."""
        self._configs = configs
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        self._ended_cpu_s = 0.0
        self.batch = configs[0].batch
        self.runners: Runners = []
        self.peak_rss_mb = 0.0
        loaded = self._start()
        self.load_ms = max(answer["load_ms"] for answer in loaded)
        self.first_inference_ms = max(answer["first_inference_ms"] for answer in loaded)
        self.nodes, self.settings = loaded[0]["nodes"], loaded[0]["settings"]

    def _start(self) -> list[dict[str, Any]]:
        """Starts the processes and loads the model in each; what each tells of it."""
        context = multiprocessing.get_context("forkserver")
        try:
            for config in self._configs:
                parent_end, child_end = context.Pipe()
                process = context.Process(target=_serve, args=(child_end, config), daemon=True)
                process.start()
                child_end.close()
                self._pipes.append(parent_end)
                self._processes.append(process)
            return self._gather()
        except BaseException:
            self._end()
            raise

    def restart(self) -> None:
        """Ends the processes and starts fresh ones, which place the model in memory anew."""
        self._end()
        self._start()

    def measure_window(self, seconds: float, warm_up_s: float = 0.0) -> Window:
        """One window with all processes at once; its duration is that of the slowest process.

        `warm_up_s`: duration of requests before it that are not counted.
        """
        answers = self._gather((warm_up_s, seconds))
        self.peak_rss_mb = sum(answer["peak_rss_mb"] for answer in answers)
        return Window(
            max(answer["elapsed_s"] for answer in answers),
            sum(answer["images"] for answer in answers),
            np.concatenate([answer["latencies_ms"] for answer in answers]),
        )

    def cpu_time_s(self) -> float:
        """CPU time of the processes so far, in core seconds."""
        total = self._ended_cpu_s
        for process in self._processes:
            with suppress(psutil.Error):
                used = psutil.Process(process.pid).cpu_times()
                total += used.user + used.system
        return total

    def _gather(self, durations: tuple[float, float] | None = None) -> list[dict[str, Any]]:
        """One answer of each process; with `durations`, of its warm-up and of its window, in s."""
        try:
            for pipe in self._pipes if durations is not None else ():
                pipe.send(durations)
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
        self._end()

    def _end(self) -> None:
        self._ended_cpu_s = self.cpu_time_s()
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
        self._pipes, self._processes = [], []


def _serve(pipe: Connection, config: ProcessConfig) -> None:
    try:
        model = LoadedModel(config)
        loaded = {
            "load_ms": model.load_ms,
            "first_inference_ms": model.first_inference_ms,
            "nodes": model.nodes,
            "settings": model.settings,
        }
        pipe.send(loaded)
        while True:
            warm_up_s, window_s = pipe.recv()
            if warm_up_s:
                model.measure_window(warm_up_s, min_requests=1)
            window = model.measure_window(window_s, TURN_MIN_REQUESTS)
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

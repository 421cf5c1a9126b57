"""Several processes that measure one artifact at the same time, each with its own sessions.

The members are told to begin a window together and report what they saw; their windows are joined
into one. A member ends when its pipe does, so none outlives the benchmark.
"""

from __future__ import annotations

import multiprocessing
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np
import psutil

from engine.benchmark.loaded_model import Alone, Member
from engine.benchmark.windows import Runners, Window
from engine.errors import BenchmarkFailed


class Team:
    """The members, started and loaded; `window` measures with all of them."""

    def __init__(self, members: list[Member]) -> None:
        """Loads every member. Raises BenchmarkFailed when one cannot start."""
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for member in members:
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(theirs, member), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        loaded = self._gather()
        self.batch = members[0].batch
        self.runners: Runners = []
        self.load_ms = max(answer["load_ms"] for answer in loaded)
        self.first_ms = max(answer["first_ms"] for answer in loaded)
        self.nodes = loaded[0]["nodes"]
        self.peak_rss_mb = 0.0

    def window(self, seconds: float) -> Window:
        """One window of all members at once; its time is that of the slowest."""
        answers = self._gather(seconds)
        self.peak_rss_mb = sum(answer["peak_rss_mb"] for answer in answers)
        return Window(
            max(answer["elapsed_s"] for answer in answers),
            sum(answer["images"] for answer in answers),
            np.concatenate([answer["latencies_ms"] for answer in answers]),
        )

    def cpu_s(self) -> float:
        """Processor time of this process and its members so far."""
        total = time.process_time()
        for process in self._processes:
            with suppress(psutil.Error):
                used = psutil.Process(process.pid).cpu_times()
                total += used.user + used.system
        return total

    def _gather(self, asked: float | None = None) -> list[dict[str, Any]]:
        """The answer of each member, to what is `asked` of all first."""
        try:
            for pipe in self._pipes if asked is not None else ():
                pipe.send(asked)
            answers = [pipe.recv() for pipe in self._pipes]
        except (EOFError, ConnectionError) as error:
            raise BenchmarkFailed(
                "One of the benchmark's processes died; fewer processes or a smaller batch need "
                "less memory."
            ) from error
        for answer in answers:
            if "error" in answer:
                raise answer["error"]
        return answers

    def __enter__(self) -> Team:
        """The team itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends every member."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()


def _serve(pipe: Connection, member: Member) -> None:
    try:
        alone = Alone(member)
        told = {"load_ms": alone.load_ms, "first_ms": alone.first_ms, "nodes": alone.nodes}
        pipe.send(told)
        while True:
            window = alone.window(pipe.recv())
            pipe.send(
                {
                    "elapsed_s": window.elapsed_s,
                    "images": window.images,
                    "latencies_ms": window.latencies_ms,
                    "peak_rss_mb": alone.peak_rss_mb,
                }
            )
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        pipe.send({"error": error})

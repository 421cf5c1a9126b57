"""Interference with a measurement: other processes, or a changing CPU clock.

A monitor thread samples the machine every 0.5 s during the measured windows: CPU time of all
processes and of the benchmark itself, the CPU clock where the system reports it, the load average.
It uses a fraction of a percent of one core, which is recorded too (`monitor_cores`). The names of
the other processes come from the process table before and after, outside the measured time.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import psutil

from engine.store.protocols import Interference

SAMPLE_INTERVAL_S = 0.5
# Above one of these two, a result counts as disturbed.
MAX_OTHER_CORES = 0.25  # mean use by other processes
MAX_CLOCK_CHANGE = 0.10  # (highest - lowest) / median
MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at one moment; all `_s` fields but `at_s` are core seconds since boot.

    `at_s`: monotonic time. `stolen_s`: CPU time that the hypervisor gave to other machines.
    `mhz`: clock of the fastest core, None if the system does not report it.
    """

    at_s: float
    busy_s: float
    own_s: float
    stolen_s: float
    mhz: float | None
    load_1min: float


@dataclass(frozen=True, slots=True)
class InterferenceSummary:
    """Interference over all samples, in cores and MHz.

    `others`: (process name, mean cores), busiest first.
    """

    samples: int
    other_busy_cores: float
    max_other_busy_cores: float
    stolen_cores: float
    mhz_low: float | None
    mhz_high: float | None
    mhz_median: float | None
    load_before: float
    load_after: float
    others: tuple[tuple[str, float], ...]
    monitor_cores: float

    def reasons(self) -> tuple[str, ...]:
        """Why the result counts as disturbed, one clause each; empty without interference."""
        return (*self._other_load_reason(), *self._clock_reason())

    def _other_load_reason(self) -> tuple[str, ...]:
        if self.other_busy_cores <= MAX_OTHER_CORES:
            return ()
        named = ", ".join(f"{name} {cores:.2f}" for name, cores in self.others[:MAX_NAMED])
        stolen = (
            f", {self.stolen_cores:.2f} of them stolen by the hypervisor"
            if self.stolen_cores > MAX_OTHER_CORES / 2
            else ""
        )
        return (
            f"other processes used {self.other_busy_cores:.2f} cores"
            f"{f' ({named})' if named else ''}{stolen}",
        )

    def _clock_reason(self) -> tuple[str, ...]:
        if self.mhz_low is None or self.mhz_high is None or not self.mhz_median:
            return ()
        change = (self.mhz_high - self.mhz_low) / self.mhz_median
        if change <= MAX_CLOCK_CHANGE:
            return ()
        return (
            f"the CPU clock changed by {100 * change:.0f} % ({self.mhz_low:,.0f} to "
            f"{self.mhz_high:,.0f} MHz)",
        )

    def to_json(self) -> dict[str, Any]:
        """All fields, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> InterferenceSummary:
        """The summary of a checkpoint."""
        others = tuple((str(name), float(cores)) for name, cores in stored["others"])
        return cls(**{**stored, "others": others})

    def to_document(self) -> Interference:
        """The form that is stored in the protocol of a result."""
        return Interference(
            samples=self.samples,
            every_s=SAMPLE_INTERVAL_S,
            other_busy_cores=round(self.other_busy_cores, 4),
            most_other_busy_cores=round(self.max_other_busy_cores, 4),
            stolen_cores=round(self.stolen_cores, 4),
            mhz=(self.mhz_low, self.mhz_median, self.mhz_high) if self.mhz_median else None,
            load_1min=(round(self.load_before, 2), round(self.load_after, 2)),
            others=[(name, round(cores, 3)) for name, cores in self.others],
            watching_cores=round(self.monitor_cores, 5),
        )


class InterferenceMonitor:
    """A context manager around the measured windows; `summary` is available afterwards."""

    def __init__(self, own_cpu_s: Callable[[], float], every_s: float = SAMPLE_INTERVAL_S) -> None:
        """`own_cpu_s` returns the core seconds that the benchmark itself has used so far."""
        self._own_cpu_s, self._every_s = own_cpu_s, every_s
        self._samples: list[Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_ended, daemon=True)
        self._thread_cpu_s = 0.0
        self._processes_before: dict[int, tuple[str, float]] = {}
        self._others: tuple[tuple[str, float], ...] = ()

    def __enter__(self) -> InterferenceMonitor:
        """Starts sampling."""
        self._processes_before = process_table()
        self._samples.append(take_sample(self._own_cpu_s))
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        """Stops sampling."""
        self._ended.set()
        self._thread.join()
        self._samples.append(take_sample(self._own_cpu_s))
        elapsed = self._samples[-1].at_s - self._samples[0].at_s
        self._others = busiest_processes(self._processes_before, process_table(), elapsed)

    def _sample_until_ended(self) -> None:
        while not self._ended.wait(self._every_s):
            self._samples.append(take_sample(self._own_cpu_s))
        self._thread_cpu_s = time.thread_time()

    def summary(self) -> InterferenceSummary:
        """Interference between the first and the last sample; at least one interval."""
        samples = list(self._samples)
        if len(samples) < 2:
            samples.append(take_sample(self._own_cpu_s))
        return summarize(samples, self._others, self._thread_cpu_s)


def summarize(
    samples: list[Sample], others: tuple[tuple[str, float], ...] = (), monitor_cpu_s: float = 0.0
) -> InterferenceSummary:
    """Means over the whole time, and the worst interval, of at least two samples in time order."""
    first, last = samples[0], samples[-1]
    elapsed = max(last.at_s - first.at_s, 1e-9)
    clocks = [sample.mhz for sample in samples if sample.mhz is not None]
    pairs = itertools.pairwise(samples)
    return InterferenceSummary(
        samples=len(samples),
        other_busy_cores=_mean_other_cores(first, last),
        max_other_busy_cores=max(_mean_other_cores(a, b) for a, b in pairs),
        stolen_cores=max(0.0, last.stolen_s - first.stolen_s) / elapsed,
        mhz_low=min(clocks, default=None),
        mhz_high=max(clocks, default=None),
        mhz_median=median(clocks) if clocks else None,
        load_before=first.load_1min,
        load_after=last.load_1min,
        others=others,
        monitor_cores=monitor_cpu_s / elapsed,
    )


def merge_summaries(parts: Sequence[InterferenceSummary]) -> InterferenceSummary:
    """The summary of several stretches of time, each weighted by its samples."""
    if len(parts) == 1:
        return parts[0]
    total = sum(part.samples for part in parts)

    def mean(values: Iterable[float]) -> float:
        pairs = zip(parts, values, strict=True)
        return sum(part.samples * value for part, value in pairs) / total

    clocks = [(part.mhz_low, part.mhz_median, part.mhz_high) for part in parts]
    lows, medians, highs = (
        [clock for clock in each if clock is not None] for each in zip(*clocks, strict=True)
    )
    cores: dict[str, float] = {}
    for part in parts:
        for name, used in part.others:
            cores[name] = cores.get(name, 0.0) + used * part.samples / total
    return InterferenceSummary(
        samples=total,
        other_busy_cores=mean(part.other_busy_cores for part in parts),
        max_other_busy_cores=max(part.max_other_busy_cores for part in parts),
        stolen_cores=mean(part.stolen_cores for part in parts),
        mhz_low=min(lows, default=None),
        mhz_high=max(highs, default=None),
        mhz_median=median(medians) if medians else None,
        load_before=parts[0].load_before,
        load_after=parts[-1].load_after,
        others=tuple(sorted(cores.items(), key=lambda item: -item[1])[:MAX_NAMED]),
        monitor_cores=mean(part.monitor_cores for part in parts),
    )


def _mean_other_cores(a: Sample, b: Sample) -> float:
    elapsed = max(b.at_s - a.at_s, 1e-9)
    return max(0.0, (b.busy_s - a.busy_s) - (b.own_s - a.own_s)) / elapsed


def take_sample(own_cpu_s: Callable[[], float]) -> Sample:
    """The state of the machine now."""
    times = psutil.cpu_times()
    not_busy = ("idle", "iowait", "guest", "guest_nice")  # guest time is part of user time too
    idle = sum(getattr(times, name, 0.0) for name in not_busy)
    return Sample(
        at_s=time.monotonic(),
        busy_s=float(sum(times) - idle),
        own_s=own_cpu_s(),
        stolen_s=float(getattr(times, "steal", 0.0)),
        mhz=clock_mhz(),
        load_1min=os.getloadavg()[0],
    )


def clock_mhz() -> float | None:
    """The clock of the fastest core now, in MHz; None where the system does not report it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    except (OSError, ValueError):
        return None
    return max(clocks, default=None)


def process_table() -> dict[int, tuple[str, float]]:
    """(name, core seconds) by id of all processes but this one and its descendants."""
    own = psutil.Process()
    own_pids = {own.pid, *(child.pid for child in own.children(recursive=True))}
    table = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if process.pid not in own_pids and times:
            name = process.info["name"] or "?"
            table[process.pid] = (name, float(times.user + times.system))
    return table


def busiest_processes(
    before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]], elapsed_s: float
) -> tuple[tuple[str, float], ...]:
    """(name, mean cores) of processes between two process tables, from 0.01 cores, busiest first.

    A process that started and ended in between is missing here; `other_busy_cores` includes it.
    """
    cores: dict[str, float] = {}
    for pid, (name, used) in after.items():
        earlier = before[pid][1] if pid in before and before[pid][0] == name else 0.0
        cores[name] = cores.get(name, 0.0) + max(0.0, used - earlier) / max(elapsed_s, 1e-9)
    order = sorted(cores.items(), key=lambda item: -item[1])
    return tuple((name, count) for name, count in order[:MAX_NAMED] if count >= 0.01)

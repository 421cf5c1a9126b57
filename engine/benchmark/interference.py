"""Whether something else disturbed a measurement: other processes, or a moving clock.

A thread looks at the machine every half a second while the windows are taken: processor time of
everybody and of the benchmark itself, the clock where the system tells it, the load. It costs a
fraction of a percent of one core, which is recorded with the rest. Who the others were is taken
from the process table before and after, outside the measured time.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import psutil

from engine.store.protocols import Interference

EVERY_S = 0.5
NOISY_CORES = 0.25  # work of others beyond which a speed is not trusted
MOVING_CLOCK = 0.10  # change of the clock, as a share of its median, beyond which it is not either
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at one moment: seconds since some origin, core seconds used until then.

    `stolen_s` is what a hypervisor gave to others; `mhz` is of the fastest core, None if untold.
    """

    at_s: float
    busy_s: float
    own_s: float
    stolen_s: float
    mhz: float | None
    load_1min: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What the samples come to, in cores and MHz; `others` are (name, cores), the busiest first."""

    samples: int
    other_busy_cores: float
    most_other_busy_cores: float
    stolen_cores: float
    mhz_low: float | None
    mhz_high: float | None
    mhz_median: float | None
    load_before: float
    load_after: float
    others: tuple[tuple[str, float], ...]
    watching_cores: float

    def reasons(self) -> tuple[str, ...]:
        """Why the result is noisy, a clause each; empty where nothing disturbed it."""
        return (*self._others_clause(), *self._clock_clause())

    def _others_clause(self) -> tuple[str, ...]:
        if self.other_busy_cores <= NOISY_CORES:
            return ()
        named = ", ".join(f"{name} {cores:.2f}" for name, cores in self.others[:MOST_NAMED])
        stolen = (
            f", {self.stolen_cores:.2f} of it taken by the hypervisor"
            if self.stolen_cores > NOISY_CORES / 2
            else ""
        )
        return (
            f"other processes used {self.other_busy_cores:.2f} cores"
            f"{f' ({named})' if named else ''}{stolen}",
        )

    def _clock_clause(self) -> tuple[str, ...]:
        if self.mhz_low is None or self.mhz_high is None or not self.mhz_median:
            return ()
        moved = (self.mhz_high - self.mhz_low) / self.mhz_median
        if moved <= MOVING_CLOCK:
            return ()
        return (
            f"the clock moved by {100 * moved:.0f} % ({self.mhz_low:,.0f} to "
            f"{self.mhz_high:,.0f} MHz)",
        )

    def facts(self) -> Interference:
        """For the protocol of the result."""
        return Interference(
            samples=self.samples,
            every_s=EVERY_S,
            other_busy_cores=round(self.other_busy_cores, 4),
            most_other_busy_cores=round(self.most_other_busy_cores, 4),
            stolen_cores=round(self.stolen_cores, 4),
            mhz=(self.mhz_low, self.mhz_median, self.mhz_high) if self.mhz_median else None,
            load_1min=(round(self.load_before, 2), round(self.load_after, 2)),
            others=[(name, round(cores, 3)) for name, cores in self.others],
            watching_cores=round(self.watching_cores, 5),
        )


class Watch:
    """Opened around the measured windows; `seen` afterwards says what it saw."""

    def __init__(self, own_cpu_s: Callable[[], float], every_s: float = EVERY_S) -> None:
        """`own_cpu_s`: core seconds that the benchmark itself has used so far."""
        self._own_cpu_s, self._every_s = own_cpu_s, every_s
        self._samples: list[Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread_cpu_s = 0.0
        self._before: dict[int, tuple[str, float]] = {}
        self._others: tuple[tuple[str, float], ...] = ()

    def __enter__(self) -> Watch:
        """Begins to watch."""
        self._before = _process_table()
        self._samples.append(look(self._own_cpu_s))
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        """Stops watching."""
        self._ended.set()
        self._thread.join()
        self._samples.append(look(self._own_cpu_s))
        elapsed = self._samples[-1].at_s - self._samples[0].at_s
        self._others = busiest(self._before, _process_table(), elapsed)

    def _look_on(self) -> None:
        while not self._ended.wait(self._every_s):
            self._samples.append(look(self._own_cpu_s))
        self._thread_cpu_s = time.thread_time()

    def seen(self) -> Seen:
        """What was seen between the first and the last look."""
        return summarize(self._samples, self._others, self._thread_cpu_s)


def summarize(
    samples: list[Sample], others: tuple[tuple[str, float], ...] = (), watching_s: float = 0.0
) -> Seen:
    """The samples (two at least, in their order) as means over the whole time, and their worst."""
    first, last = samples[0], samples[-1]
    elapsed = max(last.at_s - first.at_s, 1e-9)
    clocks = [sample.mhz for sample in samples if sample.mhz is not None]
    pairs = itertools.pairwise(samples)
    return Seen(
        samples=len(samples),
        other_busy_cores=_others_between(first, last),
        most_other_busy_cores=max(_others_between(a, b) for a, b in pairs),
        stolen_cores=max(0.0, last.stolen_s - first.stolen_s) / elapsed,
        mhz_low=min(clocks, default=None),
        mhz_high=max(clocks, default=None),
        mhz_median=median(clocks) if clocks else None,
        load_before=first.load_1min,
        load_after=last.load_1min,
        others=others,
        watching_cores=watching_s / elapsed,
    )


def _others_between(a: Sample, b: Sample) -> float:
    elapsed = max(b.at_s - a.at_s, 1e-9)
    return max(0.0, (b.busy_s - a.busy_s) - (b.own_s - a.own_s)) / elapsed


def look(own_cpu_s: Callable[[], float]) -> Sample:
    """The machine now."""
    times = psutil.cpu_times()
    not_work = ("idle", "iowait", "guest", "guest_nice")  # guests are counted as users as well
    idle = sum(getattr(times, name, 0.0) for name in not_work)
    return Sample(
        at_s=time.monotonic(),
        busy_s=float(sum(times) - idle),
        own_s=own_cpu_s(),
        stolen_s=float(getattr(times, "steal", 0.0)),
        mhz=clock_mhz(),
        load_1min=os.getloadavg()[0],
    )


def clock_mhz() -> float | None:
    """The clock of the fastest core now, where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    except (OSError, ValueError):
        return None
    return max(clocks, default=None)


def _process_table() -> dict[int, tuple[str, float]]:
    """Name and core seconds of every process but this one and its children."""
    own = psutil.Process()
    ours = {own.pid, *(child.pid for child in own.children(recursive=True))}
    found = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if process.pid not in ours and times:
            name = process.info["name"] or "?"
            found[process.pid] = (name, float(times.user + times.system))
    return found


def busiest(
    before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]], elapsed_s: float
) -> tuple[tuple[str, float], ...]:
    """Who worked meanwhile, by name: cores on average, over a hundredth of one, most first.

    A process that came and went in between is not seen here; its time counts all the same.
    """
    cores: dict[str, float] = {}
    for pid, (name, used) in after.items():
        earlier = before[pid][1] if pid in before and before[pid][0] == name else 0.0
        cores[name] = cores.get(name, 0.0) + max(0.0, used - earlier) / max(elapsed_s, 1e-9)
    order = sorted(cores.items(), key=lambda item: -item[1])
    return tuple((name, count) for name, count in order[:MOST_NAMED] if count >= 0.01)

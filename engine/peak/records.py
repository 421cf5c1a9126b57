"""The stored peaks of a machine: a column of its environment row.

`peaks[peak_key][threads]` holds the fastest kernel so far, with all that were measured. A peak is
the highest speed ever measured, so a new measurement can raise it but not lower it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select

from db.models import Environment
from db.session import reading, writing
from engine.specs import DEFAULT_RUNTIME

Peaks = dict[str, dict[str, dict[str, Any]]]


def peak_key(runtime: str, precision: str) -> str:
    """`int8`, `openvino int8`: what a peak is stored under; the default runtime is not named."""
    return precision if runtime == DEFAULT_RUNTIME else f"{runtime} {precision}"


def runtime_of_key(key: str) -> str:
    """The runtime of a key of `peak_key`."""
    return key.partition(" ")[0] if " " in key else DEFAULT_RUNTIME


@dataclass(frozen=True, slots=True)
class Speed:
    """GMAC/s of one kernel with `threads` threads in all, divided among `sessions` sessions."""

    kernel: str
    precision: str
    threads: int
    sessions: int
    best_gmacs_per_s: float
    median_gmacs_per_s: float


@dataclass(frozen=True, slots=True)
class Peak:
    """The peak of a machine at one precision and thread count, and how it was measured.

    `noise`: interference during the measurement, one clause each; `tried`: all measured kernels.
    """

    precision: str
    threads: int
    gmacs_per_s: float
    kernel: str
    sessions: int
    noise: tuple[str, ...]
    measured_at: float
    tried: tuple[dict[str, Any], ...]


def save_peaks(
    environment_digest: str, speeds: list[Speed], noise: Sequence[str], url: str
) -> None:
    """Stores the measured speeds that are higher than the stored peaks of the environment.

    `noise`: interference during the measurement, which can only make a peak too low.
    """
    with writing(url) as session:
        row = session.get_one(Environment, environment_digest)
        row.peaks = _merge(row.peaks or {}, _best_peaks(speeds, noise))


def _best_peaks(speeds: list[Speed], noise: Sequence[str]) -> Peaks:
    peaks: Peaks = {}
    for precision, threads in dict.fromkeys((speed.precision, speed.threads) for speed in speeds):
        tried = [s for s in speeds if (s.precision, s.threads) == (precision, threads)]
        best = max(tried, key=lambda speed: speed.best_gmacs_per_s)
        peaks.setdefault(precision, {})[str(threads)] = {
            "gmacs_per_s": best.best_gmacs_per_s,
            "kernel": best.kernel,
            "sessions": best.sessions,
            "noise": list(noise),
            "measured_at": time.time(),
            "tried": [asdict(speed) for speed in tried],
        }
    return peaks


def _merge(stored: Peaks, new: Peaks) -> Peaks:
    merged = {precision: dict(by_threads) for precision, by_threads in stored.items()}
    for precision, by_threads in new.items():
        best = merged.setdefault(precision, {})
        for threads, peak in by_threads.items():
            previous = best.get(threads)
            if previous is None or peak["gmacs_per_s"] >= previous["gmacs_per_s"]:
                best[threads] = peak
    return merged


def load_peaks(environment_digest: str, url: str) -> list[Peak]:
    """The peaks of one machine, ordered by precision, then threads."""
    with reading(url) as session:
        row = session.get(Environment, environment_digest)
    return parse_peaks(row.peaks) if row is not None else []


def parse_peaks(peaks: Peaks | None) -> list[Peak]:
    """The stored peaks as a list, ordered by precision, then threads."""
    return [
        Peak(precision, int(threads), **{**peak, **{n: tuple(peak[n]) for n in ("noise", "tried")}})
        for precision, by_threads in sorted((peaks or {}).items())
        for threads, peak in sorted(by_threads.items(), key=lambda item: int(item[0]))
    ]


def missing_threads(
    environment_digest: str, threads: Iterable[int], url: str, runtime: str = DEFAULT_RUNTIME
) -> list[int]:
    """The thread counts among `threads` for which this machine has no peak, ascending."""
    peaks = load_peaks(environment_digest, url)
    measured = {peak.threads for peak in peaks if runtime_of_key(peak.precision) == runtime}
    return sorted(set(threads) - measured)


def load_all_peaks(url: str) -> list[tuple[str, int, Peak]]:
    """(environment digest, usable cores, peak) of every machine with peaks."""
    statement = select(Environment.digest, Environment.facts, Environment.peaks).where(
        Environment.peaks.is_not(None)
    )
    with reading(url) as session:
        rows = session.execute(statement).all()
    return [
        (digest, int(facts.get("cores") or 1), peak)
        for digest, facts, peaks in rows
        for peak in parse_peaks(peaks)
    ]

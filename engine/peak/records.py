"""The peaks of a machine as they are kept: beside the facts of its environment.

`peaks[precision][threads]` holds the best kernel seen so far with all that were tried. A peak is
the most that was ever reached, so measuring again can raise it, never lower it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select

from db.models import Environment
from db.session import reading, writing

Peaks = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Speed:
    """GMAC/s of one kernel on `threads`, in so many `sessions` at once."""

    kernel: str
    precision: str
    threads: int
    sessions: int
    best_gmacs_per_s: float
    median_gmacs_per_s: float


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that a machine does in a precision on so many threads, and how that was found."""

    precision: str
    threads: int
    gmacs_per_s: float
    kernel: str
    sessions: int
    noise: tuple[str, ...]
    measured_at: float
    tried: tuple[dict[str, Any], ...]


def keep(environment_digest: str, speeds: list[Speed], noise: Sequence[str], url: str) -> None:
    """Adds what was measured to the environment's row, where it is more than is known.

    `noise` says what disturbed the measurement; it makes a peak too low, never too high.
    """
    with writing(url) as session:
        row = session.get_one(Environment, environment_digest)
        row.peaks = _joined(row.peaks or {}, _best(speeds, noise))


def _best(speeds: list[Speed], noise: Sequence[str]) -> Peaks:
    found: Peaks = {}
    for precision, threads in dict.fromkeys((speed.precision, speed.threads) for speed in speeds):
        tried = [s for s in speeds if (s.precision, s.threads) == (precision, threads)]
        best = max(tried, key=lambda speed: speed.best_gmacs_per_s)
        found.setdefault(precision, {})[str(threads)] = {
            "gmacs_per_s": best.best_gmacs_per_s,
            "kernel": best.kernel,
            "sessions": best.sessions,
            "noise": list(noise),
            "measured_at": time.time(),
            "tried": [asdict(speed) for speed in tried],
        }
    return found


def _joined(known: Peaks, new: Peaks) -> Peaks:
    joined = {precision: dict(by_threads) for precision, by_threads in known.items()}
    for precision, by_threads in new.items():
        kept = joined.setdefault(precision, {})
        for threads, peak in by_threads.items():
            before = kept.get(threads)
            if before is None or peak["gmacs_per_s"] >= before["gmacs_per_s"]:
                kept[threads] = peak
    return joined


def peaks_of(environment_digest: str, url: str) -> list[Peak]:
    """What is known of one machine: by precision, then threads."""
    with reading(url) as session:
        row = session.get(Environment, environment_digest)
    return listed(row.peaks) if row is not None else []


def listed(peaks: Peaks | None) -> list[Peak]:
    """The kept form as a list."""
    return [
        Peak(precision, int(threads), **{**peak, **{n: tuple(peak[n]) for n in ("noise", "tried")}})
        for precision, by_threads in sorted((peaks or {}).items())
        for threads, peak in sorted(by_threads.items(), key=lambda item: int(item[0]))
    ]


def missing_threads(environment_digest: str, threads: Iterable[int], url: str) -> list[int]:
    """Those of `threads` that no peak of this machine is known for."""
    known = {peak.threads for peak in peaks_of(environment_digest, url)}
    return sorted(set(threads) - known)


def all_peaks(url: str) -> list[tuple[str, int, Peak]]:
    """(environment digest, its usable cores, peak) of every machine that was measured."""
    statement = select(Environment.digest, Environment.facts, Environment.peaks).where(
        Environment.peaks.is_not(None)
    )
    with reading(url) as session:
        rows = session.execute(statement).all()
    return [
        (digest, int(facts.get("cores") or 1), peak)
        for digest, facts, peaks in rows
        for peak in listed(peaks)
    ]

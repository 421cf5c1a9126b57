"""Which of two measured builds is faster: by shared rounds, or across sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from engine.common.ratios import SpeedRatio, paired_ratio, unpaired_ratio
from engine.store.protocols import BenchmarkProtocol, Round
from engine.text import number

if TYPE_CHECKING:
    from db.models import Benchmark

MIN_SPREAD_READINGS = 16


def speed_ratio(row: Benchmark, reference: Benchmark, machine_spread: float | None) -> SpeedRatio:
    """The throughput of one benchmark over that of another.

    Round by round where both are of one session; otherwise from their intervals and
    `machine_spread` (as from `spread_of_machine`).
    """
    own, other = BenchmarkProtocol.from_row(row), BenchmarkProtocol.from_row(reference)
    if own.session is not None and own.session == other.session:
        rates, references = _by_number(own.rounds), _by_number(other.rounds)
        shared = [n for n in rates if n in references]
        if shared:
            return paired_ratio([rates[n] for n in shared], [references[n] for n in shared])
    intervals = [(one.images_per_s_low, one.images_per_s_high) for one in (row, reference)]
    complete = [(low, high) for low, high in intervals if low and high]
    return unpaired_ratio(
        row.images_per_s,
        reference.images_per_s,
        complete,
        machine_spread if len(complete) == len(intervals) else None,
    )


def _by_number(rounds: Iterable[Round]) -> dict[int, float]:
    return {one.number: one.images_per_s for one in rounds if one.images_per_s > 0}


def spread_of_machine(protocols: Iterable[Mapping[str, Any]]) -> float | None:
    """How much the speed of one machine varies, from all readings of its speedometer.

    The standard deviation of their logarithms: a session meets the machine in one state, so a
    figure of another session may differ by it. `protocols`: stored protocols of the benchmarks on
    this machine. None under MIN_SPREAD_READINGS readings.
    """
    import numpy as np

    readings: dict[tuple[str, int, int], float] = {}
    for protocol in protocols:
        for one in protocol.get("rounds") or ():
            value = one.get("machine_gflops")
            if value:
                key = (str(protocol.get("session")), one.get("number", 0), one.get("position", 0))
                readings[key] = value
    if len(readings) < MIN_SPREAD_READINGS:
        return None
    return float(np.std(np.log(list(readings.values())), ddof=1))


def ratio_text(ratio: SpeedRatio) -> str:
    """`2.91 × (paired 95 % interval 2.85 to 2.97)`, or why there is no interval."""
    return f"{number(ratio.ratio, 2)} × ({interval_text(ratio)})"


def interval_text(ratio: SpeedRatio) -> str:
    """`paired 95 % interval 2.85 to 2.97`, or why there is none; names different sessions."""
    if ratio.low is None or ratio.high is None:
        where = "too few rounds" if ratio.paired else "measured in different sessions"
        return f"{where}: no interval"
    kind = "paired 95 % interval" if ratio.paired else "different sessions, 95 % interval"
    return f"{kind} {number(ratio.low, 2)} to {number(ratio.high, 2)}"

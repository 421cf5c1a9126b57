"""What is read beside the table of results to judge a build: paired images, latency intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from db.models import Benchmark
from db.session import reading
from engine.common.stats import PairedDifference
from engine.errors import WorkbenchError
from engine.results.precision_pairs import paired_top1_difference
from engine.store.protocols import BenchmarkProtocol

Interval = tuple[float, float]


def _no_pair(first_id: int, second_id: int) -> PairedDifference | None:
    return None


def _no_intervals(benchmark_id: int) -> dict[str, Interval]:
    return {}


@dataclass(frozen=True, slots=True)
class Evidence:
    """`paired`: top-1 of the second evaluation minus the first, by their ids, None if not possible.

    `intervals`: 95 % intervals between rounds of a benchmark, by column of the results.
    """

    paired: Callable[[int, int], PairedDifference | None] = _no_pair
    intervals: Callable[[int], dict[str, Interval]] = _no_intervals


def stored_evidence(url: str) -> Evidence:
    """The evidence in the database and its per-image results."""
    return Evidence(partial(_paired, url), partial(latency_intervals, url))


def _paired(url: str, first_id: int, second_id: int) -> PairedDifference | None:
    try:
        return paired_top1_difference(first_id, second_id, url)
    except WorkbenchError:
        return None


def latency_intervals(url: str, benchmark_id: int) -> dict[str, Interval]:
    """95 % intervals of a benchmark's latencies, in ms by column; empty where there are none."""
    with reading(url) as session:
        row = session.get(Benchmark, benchmark_id)
    return {} if row is None else dict(BenchmarkProtocol.from_row(row).intervals)

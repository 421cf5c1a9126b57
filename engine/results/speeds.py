"""Which of two stored benchmarks is faster, with an interval."""

from __future__ import annotations

from sqlalchemy import select

from db.models import Benchmark
from db.session import reading
from engine.benchmark.comparison import interval_text, speed_ratio, spread_of_machine
from engine.common.ratios import SpeedRatio
from engine.errors import InvalidRequest
from engine.results.wording import significance_text

MAX_SPREAD_ROWS = 400
"""The newest benchmarks of a machine whose speedometer readings are used."""


def benchmark_ratio(first_id: int, second_id: int, url: str) -> SpeedRatio:
    """Throughput of the second benchmark over that of the first.

    Paired by round where both are of one session; otherwise with the wider interval of different
    sessions. Raises InvalidRequest where a benchmark does not exist.
    """
    with reading(url) as session:
        statement = select(Benchmark).where(Benchmark.id.in_((first_id, second_id)))
        rows = {row.id: row for row in session.scalars(statement)}
        for missing in {first_id, second_id} - set(rows):
            raise InvalidRequest(f"There is no benchmark {missing}.")
        first, second = rows[first_id], rows[second_id]
        spread = None
        if first.environment_digest == second.environment_digest and not _in_one_session(rows):
            protocols = session.scalars(
                select(Benchmark.protocol)
                .where(Benchmark.environment_digest == first.environment_digest)
                .order_by(Benchmark.id.desc())
                .limit(MAX_SPREAD_ROWS)
            )
            spread = spread_of_machine(protocols)
    return speed_ratio(second, first, spread)


def _in_one_session(rows: dict[int, Benchmark]) -> bool:
    sessions = {row.protocol.get("session") for row in rows.values()}
    return len(sessions) == 1 and None not in sessions


def speed_interval_text(ratio: SpeedRatio) -> str:
    """`paired 95 % interval 2.85 to 2.97, p = 0.0078: significant`, or why there is none.

    Ratios of different sessions are named so.
    """
    if ratio.low is None or ratio.p_value is None:
        return interval_text(ratio)
    verdict = significance_text(ratio.p_value)
    return f"{interval_text(ratio)}, p = {ratio.p_value:.2g}: {verdict}"

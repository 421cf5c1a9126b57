"""Earlier benchmarks that can be reused: same build, same settings, same environment."""

from __future__ import annotations

from sqlalchemy import select

from db.models import Benchmark
from db.session import reading
from engine.store.protocols import BenchmarkProtocol


def find_previous_benchmark(
    artifact: str, environment: str, setting: str, threads: int, url: str
) -> int | None:
    """Id of the newest equal benchmark, or None. `setting` is BenchmarkSpec.setting()."""
    return measured_settings(artifact, environment, url).get((setting, threads))


def measured_settings(artifact: str, environment: str, url: str) -> dict[tuple[str, int], int]:
    """Newest benchmark id by (setting, threads), of one artifact in one environment."""
    statement = (
        select(Benchmark.id, Benchmark.protocol, Benchmark.threads)
        .where(Benchmark.artifact_digest == artifact, Benchmark.environment_digest == environment)
        .order_by(Benchmark.id)
    )
    with reading(url) as session:
        rows = session.execute(statement).all()
    pairs = ((BenchmarkProtocol.from_row(row).setting, row) for row in rows)
    return {(setting, row.threads): row.id for setting, row in pairs if setting is not None}

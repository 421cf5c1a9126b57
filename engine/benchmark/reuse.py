"""What was measured before: the same build, in the same way, on an equal machine."""

from __future__ import annotations

from sqlalchemy import select

from db.models import Benchmark
from db.session import reading
from engine.store.protocols import BenchmarkProtocol


def find_before(
    artifact: str, environment: str, setting: str, threads: int, url: str
) -> int | None:
    """Number of the newest equal benchmark, or None. `setting` as from BenchmarkSpec.setting."""
    return settings_before(artifact, environment, url).get((setting, threads))


def settings_before(artifact: str, environment: str, url: str) -> dict[tuple[str, int], int]:
    """Every (setting, threads) in which an artifact was measured on a machine, with its newest."""
    statement = (
        select(Benchmark.id, Benchmark.protocol, Benchmark.threads)
        .where(Benchmark.artifact_digest == artifact, Benchmark.environment_digest == environment)
        .order_by(Benchmark.id)
    )
    with reading(url) as session:
        rows = session.execute(statement).all()
    known = ((BenchmarkProtocol.of(row).setting, row) for row in rows)
    return {(setting, row.threads): row.id for setting, row in known if setting is not None}

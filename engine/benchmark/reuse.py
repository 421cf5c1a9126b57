"""Earlier benchmarks that can be reused: same build, same settings, same environment."""

from __future__ import annotations

from sqlalchemy import select

from db.models import Benchmark
from db.session import reading
from engine.common.digests import data_digest
from engine.runtimes import registry
from engine.specs import DEFAULT_RUNTIME, BenchmarkSpec
from engine.store.protocols import BenchmarkProtocol


def setting_of(spec: BenchmarkSpec) -> str:
    """Key of equal conditions: another runtime than the default one enters with its version.

    The version of the default runtime is among the facts of the environment.
    """
    key = spec.conditions_key()
    if spec.runtime == DEFAULT_RUNTIME:
        return key
    return data_digest([key, registry.with_version(spec.runtime)])


def find_previous_benchmark(
    artifact: str, environment: str, setting: str, threads: int, url: str
) -> int | None:
    """Id of the newest equal benchmark, or None. `setting` is that of `setting_of`."""
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

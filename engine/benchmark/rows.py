"""The builds of a session, and the rows that their results become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from db.models import Artifact, Benchmark
from engine.benchmark.interference import InterferenceSummary
from engine.benchmark.loaded_model import ProcessConfig
from engine.benchmark.metrics import Outcome, save_latencies
from engine.common import environment
from engine.common.environment import MachineFacts
from engine.jobs.context import JobContext
from engine.runtimes import registry
from engine.specs import BenchmarkSpec
from engine.store import artifacts
from engine.text import plural


@dataclass(frozen=True, slots=True)
class SessionBuild:
    """One build under one configuration; `threads`: intra-op threads of each request."""

    spec: BenchmarkSpec
    artifact: Artifact
    threads: int

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for two requests of the same measurement."""
        return (self.artifact.digest, self.spec.conditions_key(), self.threads)

    @property
    def label(self) -> str:
        """`int8, batch 8, 1 thread`: precision and configuration."""
        spec = self.spec
        concurrency = f", concurrency {spec.instances}" if spec.instances > 1 else ""
        threads = plural(self.threads, "thread")
        return f"{self.artifact.precision}, batch {spec.batch}{concurrency}, {threads}"

    def process_configs(self) -> list[ProcessConfig]:
        """What each of its processes loads."""
        side = artifacts.preprocess_of(self.artifact).crop
        return [
            ProcessConfig(
                runtime=self.spec.runtime,
                path=artifacts.model_path(self.artifact.digest),
                precision=self.artifact.precision,
                provider=self.spec.provider,
                threads=self.threads,
                instances=self.spec.instances,
                shape=(self.spec.batch, 3, side, side),
                seed=number,
            )
            for number in range(self.spec.processes)
        ]


class LoadedFacts(Protocol):
    """What loading a build tells: times in ms, memory in MB, layers by device."""

    load_ms: float
    first_inference_ms: float
    nodes: dict[str, int] | None

    @property
    def peak_rss_mb(self) -> float:
        """Peak resident memory, in MB."""


def benchmark_row(
    build: SessionBuild,
    outcome: Outcome,
    loaded: LoadedFacts,
    observed: InterferenceSummary,
    surroundings: MachineFacts,
    context: JobContext,
    *,
    number: int = 0,
) -> Benchmark:
    """The row of a result; the latencies are written to their file. `number`: within the job."""
    conditions = {
        "setting": build.spec.conditions_key(),
        "nodes": loaded.nodes,
        "load_1min_before": surroundings.load_1min,
        "during": observed.to_document(),
        "noise": [*observed.reasons(), *outcome.reasons],
    }
    name = f"{context.job_id}.{context.attempt}" + (f".{number}" if number else "")
    return Benchmark(
        job_id=context.job_id,
        artifact_digest=build.artifact.digest,
        environment_digest=environment.record(surroundings, context.url),
        runtime=registry.with_version(build.spec.runtime),
        provider=build.spec.provider,
        batch=build.spec.batch,
        threads=build.threads,
        instances=build.spec.instances,
        load_ms=loaded.load_ms,
        first_inference_ms=loaded.first_inference_ms,
        peak_rss_mb=loaded.peak_rss_mb,
        other_busy_cores=observed.other_busy_cores,
        latencies_path=save_latencies(outcome.windows, name),
        protocol=outcome.protocol.model_copy(update=conditions).dump(),
        **outcome.figures,
    )

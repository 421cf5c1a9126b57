"""One function a kind of job: its title, parameters, needs, time limit and identity."""

from __future__ import annotations

from collections.abc import Iterable

from db.enums import JobKind
from engine.benchmark.scenarios.definitions import asked_label
from engine.common.digests import data_digest
from engine.jobs.queue import NewJob
from engine.specs import (
    BenchmarkSpec,
    BuildSpec,
    DatasetSpec,
    EvaluateSpec,
    ExcitationsSpec,
    ExportSpec,
    PeakSpec,
    ProfileSpec,
    Scenario,
)

HOUR_S = 3600.0


def dataset_job(spec: DatasetSpec) -> NewJob:
    """Registers (or first draws) a dataset."""
    return NewJob(JobKind.PREPARE_DATASET, f"Dataset {spec.name}", spec.to_json())


def export_job(spec: ExportSpec) -> NewJob:
    """Exports a model."""
    title = f"Export {spec.model_id}"
    return NewJob(JobKind.EXPORT, title, spec.to_json(), key=_key("export", spec.fingerprint()))


def build_job(spec: BuildSpec, needs: Iterable[int] = ()) -> NewJob:
    """Builds one precision."""
    return NewJob(
        JobKind.BUILD,
        f"Build {spec.export.model_id} {spec.precision}",
        spec.to_json(),
        needs=tuple(needs),
        key=_key("build", spec.fingerprint()),
    )


def benchmark_job(spec: BenchmarkSpec, needs: Iterable[int] = ()) -> NewJob:
    """Measures speed, alone on its machine."""
    return NewJob(
        JobKind.BENCHMARK,
        f"Benchmark {_subject(spec)}, {_setting(spec)}",
        spec.to_json(),
        needs=tuple(needs),
        exclusive=True,
        timeout_s=spec.max_s * 4 + HOUR_S / 4,
    )


def _setting(spec: BenchmarkSpec) -> str:
    """What tells the points of a sweep apart; what is as usual is left out."""
    parts = [f"batch {spec.batch}"]
    if spec.instances > 1:
        parts.append(f"{spec.instances} in flight")
    if spec.threads:
        parts.append(f"{spec.threads} thread{'' if spec.threads == 1 else 's'}")
    if spec.scenario != Scenario.CLOSED_LOOP:
        parts.append(asked_label(spec))
    return ", ".join(parts)


def peak_job(spec: PeakSpec) -> NewJob:
    """Measures what the machine can do at most, alone on it."""
    threads = " and ".join(str(count) for count in spec.threads)
    return NewJob(
        JobKind.PEAK,
        f"Peak of the machine, {threads} thread{'s' if spec.threads != (1,) else ''}",
        spec.to_json(),
        exclusive=True,
        timeout_s=HOUR_S / 4,
    )


def profile_job(spec: ProfileSpec, needs: Iterable[int] = ()) -> NewJob:
    """Tells where the time of a build goes, alone on its machine."""
    return NewJob(
        JobKind.PROFILE,
        f"Profile {_subject(spec)}, batch {spec.batch}",
        spec.to_json(),
        needs=tuple(needs),
        exclusive=True,
        timeout_s=spec.seconds * 4 + HOUR_S / 4,
    )


def evaluate_job(spec: EvaluateSpec, needs: Iterable[int] = ()) -> NewJob:
    """Measures accuracy: a whole evaluation, or one shard of it."""
    shard = spec.start is not None
    part = f", images {spec.start} to {spec.stop}" if shard else ""
    return NewJob(
        JobKind.EVALUATE_SHARD if shard else JobKind.EVALUATE,
        f"Evaluate {_subject(spec)} on {spec.dataset}{part}",
        spec.to_json(),
        needs=tuple(needs),
        timeout_s=24 * HOUR_S,
    )


def excitations_job(spec: ExcitationsSpec, model_id: str) -> NewJob:
    """What the SE blocks of a network usually do, over images of a dataset."""
    title = f"Mean excitations of {model_id} on {spec.dataset}"
    return NewJob(JobKind.EXCITATIONS, title, spec.to_json(), timeout_s=HOUR_S)


def _subject(spec: BenchmarkSpec | EvaluateSpec | ProfileSpec) -> str:
    if spec.build is not None:
        return f"{spec.build.export.model_id} {spec.build.precision}"
    return f"artifact {str(spec.artifact)[:12]}"


def _key(kind: str, recipe: str) -> str:
    return data_digest([kind, recipe])

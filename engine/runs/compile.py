"""From a request to the jobs that answer it; nothing here reads or writes the database.

One function for each kind of job (its title, parameters, needs, time limit and identity), one for
each spec of a run, and `compile`, which makes the list of jobs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from db.enums import JobKind, Precision
from engine.benchmark.scenarios.definitions import requested_label
from engine.build.int8 import targets
from engine.common.digests import data_digest
from engine.common.environment import instruction_sets
from engine.jobs.queue import NewJob
from engine.runs.request import BUILTIN_DATASETS, Point, RunRequest, Task, is_sweep, points_of
from engine.specs import (
    BenchmarkSpec,
    BuildSpec,
    CalibrationSpec,
    DatasetSpec,
    EvaluateSpec,
    ExcitationsSpec,
    ExportSpec,
    ProfileSpec,
    RangeCheckSpec,
    Scenario,
    shard_ranges,
)

SHARDED_FROM_IMAGES = 8192
HOUR_S = 3600.0


def compile(
    request: RunRequest, *, images: int | None = None, registered: Collection[str] = ()
) -> list[NewJob]:
    """The jobs of a run, each after those that it needs: `needs` are positions in this list.

    `images` is the size of the evaluation dataset (None: not registered yet), `registered` holds
    the names of the built-in datasets that are there already.
    """
    jobs: list[NewJob] = []

    def add(job: NewJob) -> int:
        jobs.append(job)
        return len(jobs) - 1

    missing = [n for n in BUILTIN_DATASETS if n in request.datasets and n not in registered]
    datasets = {name: add(dataset_job(DatasetSpec(name=name, builtin=True))) for name in missing}
    export = add(export_job(export_spec(request)))
    builds = {}
    for precision in request.built:
        spec = build_spec(request, precision)
        looks_at = spec.calibration or spec.range_check
        needs = [datasets[looks_at.dataset]] if looks_at and looks_at.dataset in datasets else []
        builds[precision] = (spec, add(build_job(spec, [export, *needs])))
    for spec, build in builds.values():
        if Task.EVALUATE in request.tasks:
            needs = [datasets[str(request.dataset)]] if request.dataset in datasets else []
            shards = [
                add(evaluate_job(shard, [build, *needs]))
                for shard in evaluation_shards(request, spec, images)
            ]
            whole = evaluation_spec(request, spec)
            add(evaluate_job(whole, [build, *needs, *shards]))
        if Task.BENCHMARK in request.tasks:
            for point in points_of(request):
                add(benchmark_job(benchmark_spec(request, point, build=spec), [build]))
        if Task.PROFILE in request.tasks:
            add(profile_job(profile_spec(request, spec), [build]))
    return jobs


def dataset_job(spec: DatasetSpec) -> NewJob:
    """Registers (or first draws) a dataset."""
    return NewJob(JobKind.PREPARE_DATASET, f"Dataset {spec.name}", spec.to_json())


def export_job(spec: ExportSpec) -> NewJob:
    """Exports a model."""
    title = f"Export {spec.model_id}"
    return NewJob(JobKind.EXPORT, title, spec.to_json(), key=_key("export", spec.recipe()))


def build_job(spec: BuildSpec, needs: Iterable[int] = ()) -> NewJob:
    """Builds one precision."""
    return NewJob(
        JobKind.BUILD,
        f"Build {spec.export.model_id} {spec.precision}",
        spec.to_json(),
        needs=tuple(needs),
        key=_key("build", spec.recipe()),
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
        parts.append(requested_label(spec))
    return ", ".join(parts)


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


def export_spec(request: RunRequest) -> ExportSpec:
    """The export that the run rests on."""
    return ExportSpec(
        model_id=request.model_id,
        weights=request.weights,
        preprocess=request.preprocess,
        background=request.background,
        output=request.output,
        classes=request.classes,
        format=request.format,
        via=request.via,
    )


def build_spec(request: RunRequest, precision: Precision) -> BuildSpec:
    """One build of the run; the target of int8 is settled here, on the machine that asks."""
    return BuildSpec(
        export=export_spec(request),
        precision=precision,
        calibration=_calibration_spec(request) if precision == Precision.INT8 else None,
        range_check=_range_check_spec(request) if precision == Precision.FP16 else None,
        softmax=request.softmax,
    )


def _calibration_spec(request: RunRequest) -> CalibrationSpec:
    return CalibrationSpec(
        dataset=request.calibration_set,
        images=request.calibration_images,
        mode=request.calibration_mode,
        percentile=request.calibration_percentile,
        keep_in_float=request.keep_in_float,
        max_drop=request.max_drop,
        target=targets.resolve(request.target, instruction_sets(), request.provider).name,
    )


def _range_check_spec(request: RunRequest) -> RangeCheckSpec | None:
    dataset = request.range_check_set
    if dataset is None:
        return None
    return RangeCheckSpec(dataset=dataset, images=request.calibration_images)


def profile_spec(request: RunRequest, build: BuildSpec) -> ProfileSpec:
    """The profile of one build: at the first of the batch sizes and of the numbers of threads."""
    return ProfileSpec(
        build=build,
        batch=request.batches[0] if request.batches else 1,
        threads=request.threads[0] if request.threads else 0,
        provider=request.provider,
    )


def benchmark_spec(
    request: RunRequest,
    point: Point,
    *,
    build: BuildSpec | None = None,
    artifact: str | None = None,
) -> BenchmarkSpec:
    """One benchmark of the run. A point of a sweep that was measured before is not again."""
    return BenchmarkSpec(
        build=build,
        artifact=artifact,
        batch=point.batch,
        threads=point.threads,
        instances=point.instances,
        provider=request.provider,
        max_s=request.benchmark_max_s,
        scenario=request.scenario,
        rate_per_s=request.rate_per_s,
        limit_ms=request.limit_ms,
        seed=request.arrivals_seed,
        reuse=is_sweep(request) and not request.again,
    )


def evaluation_spec(request: RunRequest, build: BuildSpec) -> EvaluateSpec:
    """The evaluation of one build, whole."""
    return EvaluateSpec(
        build=build,
        dataset=str(request.dataset),
        preprocess=request.evaluation_preprocess,
        limit=request.limit,
        provider=request.provider,
    )


def evaluation_shards(
    request: RunRequest, build: BuildSpec, images: int | None
) -> list[EvaluateSpec]:
    """The parts that a large evaluation is done in; none of a small one."""
    whole = evaluation_spec(request, build)
    count = min(images or 0, request.limit or images or 0)
    if count < SHARDED_FROM_IMAGES:
        return []
    return [
        whole.model_copy(update={"start": start, "stop": stop})
        for start, stop in shard_ranges(count, whole.batch)
    ]

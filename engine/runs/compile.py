"""Compilation of a request to jobs; nothing here reads or writes the database.

One function per kind of job (title, parameters, dependencies, timeout and key), one per spec of a
run, and `compile`, which returns the list of jobs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from db.enums import JobKind, Precision
from engine.benchmark.scenarios.definitions import requested_label
from engine.common.digests import data_digest
from engine.datasets.available import AvailableDatasets
from engine.jobs.queue import NewJob
from engine.runs.build_options import build_fields
from engine.runs.cells import cells_of, needs_torchscript
from engine.runs.comparison import comparison_of
from engine.runs.request import (
    BUILTIN_DATASETS,
    Point,
    RunRequest,
    Task,
    benchmark_points,
    is_sweep,
)
from engine.runtimes.registry import RUNTIMES
from engine.specs import (
    DEFAULT_RUNTIME,
    SEARCH_TIMES,
    BenchmarkSpec,
    BuildSpec,
    DatasetSpec,
    DrawsSpec,
    EvaluateSpec,
    ExcitationsSpec,
    ExportSpec,
    LayersSpec,
    ProfileSpec,
    Scenario,
    SessionSpec,
    shard_ranges,
)
from engine.specs.precisions import sharing
from engine.text import plural

SHARDED_FROM_IMAGES = 8192
HOUR_S = 3600.0
Cell = tuple[Precision, str]
Sourced = tuple[BenchmarkSpec, list[int]]
"""A benchmark, and the positions of the jobs that it needs."""


def compile(
    request: RunRequest, *, images: int | None = None, registered: Collection[str] = ()
) -> list[NewJob]:
    """The jobs of a run, each after its dependencies: `needs` are positions in this list.

    `images` is the size of the evaluation dataset (None: not registered yet); `registered` are the
    names of the registered built-in datasets.
    """
    return compile_all(request.for_each_model(), images=images, registered=registered)


def compile_for(
    requests: Iterable[RunRequest], dataset: str | None, available: AvailableDatasets
) -> list[NewJob]:
    """The jobs of several requests that are evaluated on `dataset`, with what is registered now."""
    row = available.get(dataset)
    return compile_all(
        requests,
        images=row.num_images if row is not None else None,
        registered=available.registered.keys(),
        preparing=available.preparing,
    )


def compile_all(
    requests: Iterable[RunRequest],
    *,
    images: int | None = None,
    registered: Collection[str] = (),
    preparing: Mapping[str, DatasetSpec] = MappingProxyType({}),
) -> list[NewJob]:
    """The jobs of several requests of one model each, model by model; equal jobs are one.

    No job of a model needs one of another model: a failure stops that model only. What reads a
    dataset of `preparing` waits for its registration.
    """
    jobs: list[NewJob] = []
    positions: dict[str, int] = {}
    for request in requests:
        own: list[int] = []
        for job in _compile_model(request, images, registered, preparing):
            identity = job.identity()
            if identity not in positions:
                positions[identity] = len(jobs)
                jobs.append(replace(job, needs=tuple(own[need] for need in job.needs)))
            own.append(positions[identity])
    return jobs


def _compile_model(
    request: RunRequest,
    images: int | None,
    registered: Collection[str],
    preparing: Mapping[str, DatasetSpec],
) -> list[NewJob]:
    """The jobs of a request of one model."""
    jobs: list[NewJob] = []

    def add(job: NewJob) -> int:
        jobs.append(job)
        return len(jobs) - 1

    generated = {
        name: DatasetSpec(name=name, builtin=True)
        for name in BUILTIN_DATASETS
        if name not in registered
    }
    missing = {**generated, **preparing}
    required = [name for name in missing if name in request.required_datasets]
    datasets = {name: add(dataset_job(missing[name])) for name in required}
    export = add(export_job(export_spec(request)))
    cells, builds = cells_of(request), dict[Precision, tuple[BuildSpec, int]]()
    scripted = any(needs_torchscript(runtime) for _, runtime in cells.possible)
    torchscript = [add(export_job(torchscript_spec(request)))] if scripted else []
    for precision in cells.precisions:
        spec = build_spec(request, precision)
        source = spec.calibration or spec.range_check
        needs = [datasets[source.dataset]] if source and source.dataset in datasets else []
        needs += [builds[other][1] for other in sharing(precision) if other in builds][:1]
        builds[precision] = (spec, add(build_job(spec, [export, *needs])))

    def sources_of(precision: Precision, runtime: str) -> list[int]:
        """The jobs that make what a measurement of this cell loads."""
        return [builds[precision][1], *(torchscript if needs_torchscript(runtime) else [])]

    for precision, runtime in cells.possible:
        spec, sources = builds[precision][0], sources_of(precision, runtime)
        if Task.EVALUATE in request.tasks:
            needs = [datasets[str(request.dataset)]] if request.dataset in datasets else []
            shards = [
                add(evaluate_job(shard, [*sources, *needs]))
                for shard in evaluation_shards(request, spec, images, runtime)
            ]
            complete = evaluation_spec(request, spec, runtime)
            add(evaluate_job(complete, [*sources, *needs, *shards]))
        if Task.PROFILE in request.tasks and RUNTIMES[runtime].profiles:
            add(profile_job(profile_spec(request, spec, runtime), sources))
    comparison = comparison_of(request, cells)
    if comparison is not None and Precision.FP32 not in builds:
        fp32 = build_spec(request, Precision.FP32)
        builds[Precision.FP32] = (fp32, add(build_job(fp32, [export])))
    read = [datasets[name] for name in (request.dataset,) if name in datasets]

    def measured_at(point: Point, measured: Iterable[Cell]) -> list[Sourced]:
        return [
            (
                benchmark_spec(request, point, runtime, build=builds[precision][0]),
                sources_of(precision, runtime) + (read if request.measures_files else []),
            )
            for precision, runtime in measured
        ]

    points = benchmark_points(request) if Task.BENCHMARK in request.tasks else ()
    requested = [one for point in points for one in measured_at(point, cells.possible)]
    added = measured_at(comparison.point, comparison.cells) if comparison is not None else []
    joined = comparison is not None and comparison.joined
    return jobs + _benchmark_jobs(request.scenario, requested, added, joined=joined)


def _benchmark_jobs(
    scenario: Scenario, requested: list[Sourced], added: list[Sourced], *, joined: bool
) -> list[NewJob]:
    """The sessions of the requested benchmarks, and of those that compare with fp32.

    With `joined`, these are measured in the session of the requested ones.
    """
    if joined:
        specs = [spec for spec, _ in requested]
        requested = requested + [one for one in added if one[0] not in specs]
        added = []
    if scenario == Scenario.CLOSED_LOOP:
        jobs = [session_job(requested)] if requested else []
    else:
        jobs = [benchmark_job([spec], needs) for spec, needs in requested]
    if added:
        compared = [(as_comparison(spec), needs) for spec, needs in added]
        jobs.append(session_job(compared, compares=True))
    return jobs


def session_job(measured: Sequence[Sourced], *, compares: bool = False) -> NewJob:
    """One session over several benchmarks, after the jobs that they need."""
    needs = dict.fromkeys(source for _, sources in measured for source in sources)
    return benchmark_job([spec for spec, _ in measured], needs, compares=compares)


def as_comparison(spec: BenchmarkSpec) -> BenchmarkSpec:
    """A benchmark of the comparison with fp32: closed loop, and reused where it was made before."""
    of_scenarios = dict.fromkeys(("rate_per_s", "limit_ms", "dataset"))
    conditions = {**of_scenarios, "scenario": Scenario.CLOSED_LOOP}
    return spec.model_copy(update={**conditions, "seed": 0, "reuse": True})


def dataset_job(spec: DatasetSpec) -> NewJob:
    """Registers a dataset; a built-in one is generated first."""
    return NewJob(JobKind.PREPARE_DATASET, f"Dataset {spec.name}", spec.to_json())


def export_job(spec: ExportSpec) -> NewJob:
    """Exports a model and verifies the export."""
    title = f"Export {spec.model_id}" + (" to TorchScript" if spec.format != "onnx" else "")
    return NewJob(JobKind.EXPORT, title, spec.to_json(), key=_key("export", spec.fingerprint()))


def build_job(spec: BuildSpec, needs: Iterable[int] = ()) -> NewJob:
    """Builds an export at one precision."""
    return NewJob(
        JobKind.BUILD,
        f"Build {spec.export.model_id} {spec.precision}",
        spec.to_json(),
        needs=tuple(needs),
        key=_key("build", spec.fingerprint()),
    )


def benchmark_job(
    specs: Sequence[BenchmarkSpec],
    needs: Iterable[int] = (),
    *,
    compares: bool = False,
    quiet_wait_s: float = 0.0,
) -> NewJob:
    """Measures speed in one session, with no other job on the machine.

    Of several builds, those that could not be made are left out; a comparison of two builds needs
    both. `quiet_wait_s`: how long it waits for a quiet machine.
    """
    session = SessionSpec(benchmarks=tuple(specs), compares=compares, quiet_wait_s=quiet_wait_s)
    needs = tuple(needs)
    return NewJob(
        JobKind.BENCHMARK,
        f"Benchmark {_session_subject(session)}",
        session.to_json(),
        needs=needs,
        needs_all=len(needs) < 2 or (compares and len(specs) == 2),
        exclusive=True,
        timeout_s=session.max_s * SEARCH_TIMES + HOUR_S / 4 + START_S * len(specs) + quiet_wait_s,
    )


START_S = 60.0
"""Time allowed for loading one build."""


def _session_subject(session: SessionSpec) -> str:
    """`timm/seresnet50 fp32, int8, batch 1`: models with their precisions, then the settings."""
    builds: dict[str, list[str]] = {}
    for one in session.benchmarks:
        model, precision = _names(one)
        precisions = builds.setdefault(model, [])
        if precision not in precisions:
            precisions.append(precision)
    subjects = "; ".join(
        f"{model} {', '.join(filter(None, names))}".strip() for model, names in builds.items()
    )
    settings = list(dict.fromkeys(_configuration(one) for one in session.benchmarks))
    return f"{subjects}, {settings[0] if len(settings) == 1 else plural(len(settings), 'setting')}"


def _configuration(spec: BenchmarkSpec) -> str:
    """The configuration of a benchmark in its title, without defaults."""
    parts = [f"batch {spec.batch}"]
    if spec.instances > 1:
        parts.append(f"concurrency {spec.instances}")
    if spec.threads:
        parts.append(plural(spec.threads, "thread"))
    if spec.scenario != Scenario.CLOSED_LOOP:
        parts.append(requested_label(spec))
    return ", ".join(parts)


def profile_job(spec: ProfileSpec, needs: Iterable[int] = ()) -> NewJob:
    """Measures time by operator, with no other job on the machine."""
    return NewJob(
        JobKind.PROFILE,
        f"Profile {_subject(spec)}, batch {spec.batch}",
        spec.to_json(),
        needs=tuple(needs),
        exclusive=True,
        timeout_s=spec.seconds * 4 + HOUR_S / 4,
    )


def evaluate_job(spec: EvaluateSpec, needs: Iterable[int] = ()) -> NewJob:
    """Measures accuracy: a complete evaluation, or one shard of it."""
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
    """Computes the mean SE gates of a network over images of a dataset."""
    title = f"Mean excitations of {model_id} on {spec.dataset}"
    return NewJob(JobKind.EXCITATIONS, title, spec.to_json(), timeout_s=HOUR_S)


def layers_job(spec: LayersSpec, model_id: str) -> NewJob:
    """Measures the errors of each layer of an int8 build."""
    title = f"Layer errors of {model_id} int8 on {spec.dataset}"
    return NewJob(JobKind.LAYERS, title, spec.to_json(), timeout_s=HOUR_S)


def draws_job(spec: DrawsSpec, model_id: str) -> NewJob:
    """Builds int8 with several draws of calibration images, and evaluates each."""
    title = f"{spec.draws} calibration draws of {model_id} int8 on {spec.dataset}"
    return NewJob(JobKind.DRAWS, title, spec.to_json(), timeout_s=24 * HOUR_S)


def _subject(spec: EvaluateSpec | ProfileSpec) -> str:
    return " ".join(_names(spec)).strip()


def _names(spec: BenchmarkSpec | EvaluateSpec | ProfileSpec) -> tuple[str, str]:
    """The model, and the precision with the runtime where that is not the default one."""
    runtime = getattr(spec, "runtime", DEFAULT_RUNTIME)
    where = f" in {runtime}" if runtime != DEFAULT_RUNTIME else ""
    if spec.build is not None:
        return spec.build.export.model_id, f"{spec.build.precision}{where}"
    return f"artifact {str(spec.artifact)[:12]}", where.strip()


def _key(kind: str, recipe: str) -> str:
    return data_digest([kind, recipe])


def export_spec(request: RunRequest) -> ExportSpec:
    """The export of the run."""
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


def torchscript_spec(request: RunRequest) -> ExportSpec:
    """The TorchScript form of the export of the run."""
    return export_spec(request).model_copy(update={"format": "torchscript"})


def build_spec(request: RunRequest, precision: Precision) -> BuildSpec:
    """One build of the run, with the options of its precision."""
    return BuildSpec(
        export=export_spec(request),
        precision=precision,
        softmax=request.softmax,
        **build_fields(request, precision),
    )


def profile_spec(request: RunRequest, build: BuildSpec, runtime: str) -> ProfileSpec:
    """The profile of one build, at the first batch size and the first number of threads."""
    return ProfileSpec(
        build=build,
        batch=request.batches[0] if request.batches else 1,
        threads=request.threads[0] if request.threads else 0,
        provider=request.provider,
        runtime=runtime,
    )


def benchmark_spec(
    request: RunRequest,
    point: Point,
    runtime: str,
    *,
    build: BuildSpec | None = None,
    artifact: str | None = None,
) -> BenchmarkSpec:
    """One benchmark of the run; in a sweep, a cached result is reused."""
    return BenchmarkSpec(
        build=build,
        artifact=artifact,
        batch=point.batch,
        threads=point.threads,
        instances=point.instances,
        provider=request.provider,
        runtime=runtime,
        max_s=request.benchmark_max_s,
        scenario=request.scenario,
        rate_per_s=request.rate_per_s,
        limit_ms=request.limit_ms,
        seed=request.arrivals_seed,
        dataset=request.dataset if request.scenario == Scenario.END_TO_END else None,
        # Another folder may have the name of the dataset by now.
        reuse=is_sweep(request) and not request.again and not request.measures_files,
    )


def evaluation_spec(request: RunRequest, build: BuildSpec, runtime: str) -> EvaluateSpec:
    """The complete evaluation of one build."""
    return EvaluateSpec(
        build=build,
        dataset=str(request.dataset),
        preprocess=request.evaluation_preprocess,
        limit=request.limit,
        provider=request.provider,
        runtime=runtime,
    )


def evaluation_shards(
    request: RunRequest, build: BuildSpec, images: int | None, runtime: str
) -> list[EvaluateSpec]:
    """The shards of a large evaluation; empty for a small one."""
    complete = evaluation_spec(request, build, runtime)
    count = min(images or 0, request.limit or images or 0)
    if count < SHARDED_FROM_IMAGES:
        return []
    return [
        complete.model_copy(update={"start": start, "stop": stop})
        for start, stop in shard_ranges(count, complete.batch)
    ]

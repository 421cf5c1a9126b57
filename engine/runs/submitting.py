"""A run: what a user asks for, and the jobs it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.enums import Precision, WeightsKind
from db.models import Dataset, Run, RunJob
from db.session import reading, writing
from engine.build.int8 import targets
from engine.catalog.models import find_model
from engine.common.digests import file_digest
from engine.common.environment import instruction_sets
from engine.datasets.reader import load_classes
from engine.errors import InvalidRequest
from engine.jobs import queue
from engine.runs.new_jobs import (
    benchmark_job,
    build_job,
    dataset_job,
    evaluate_job,
    export_job,
    profile_job,
)
from engine.runs.planning import plan
from engine.runs.requests import BUILTIN_DATASETS, RunRequest, Task
from engine.runs.sweeps import benchmark_spec, points_of
from engine.specs import (
    BuildSpec,
    CalibrationSpec,
    DatasetSpec,
    EvaluateSpec,
    ExportSpec,
    ProfileSpec,
    RangeCheckSpec,
    absolute,
    shard_ranges,
)
from engine.weights.registry import find_registered

SHARDED_FROM_IMAGES = 8192


def submit(request: RunRequest, url: str) -> int:
    """Queues a run; returns its id. Raises InvalidRequest with all that stands in its way."""
    problems = plan(request, url).problems
    if problems:
        raise InvalidRequest(" ".join(problems))
    request = with_dataset_classes(with_file_digest(request), url)
    images = _images_of(request.dataset, url)
    with writing(url) as session:
        run = Run(title=_title(request), request=request.to_json())
        session.add(run)
        session.flush()
        for job_id in _submit_jobs(session, request, images):
            session.merge(RunJob(run_id=run.id, job_id=job_id))
        return run.id


def with_file_digest(request: RunRequest) -> RunRequest:
    """The request with its weights file, or the one registered for it, identified by its bytes."""
    weights = request.weights
    if weights.kind == WeightsKind.PRETRAINED:
        registered = find_registered(find_model(request.model_id))
        digest = registered.digest if registered else None
        key = weights.key or (registered.key if registered else None)
        known = weights.model_copy(update={"sha256": digest, "key": key})
        return request.model_copy(update={"weights": known})
    if weights.kind != WeightsKind.FILE or weights.path is None:
        return request
    path = absolute(weights.path)
    known = weights.model_copy(update={"path": path, "sha256": file_digest_of(path)})
    return request.model_copy(update={"weights": known})


def with_dataset_classes(request: RunRequest, url: str) -> RunRequest:
    """The request with the numbers of classes that fit its dataset, for several ONNX outputs.

    By them the scores are found among the outputs, where no name is given.
    """
    path = request.weights.path
    if request.output or not path or not request.model_id.startswith("onnx/"):
        return request
    from engine.onnx.graph_io import count_outputs  # with onnx, which other requests do not need

    if request.dataset is None or count_outputs(Path(path)) < 2:
        return request.model_copy(update={"classes": ()})
    with reading(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == request.dataset))
    if row is None:
        return request
    known = load_classes(row)
    present = len(known.present or ()) if known is not None else 0
    fitting = dict.fromkeys(count for count in (row.num_classes, present) if count)
    return request.model_copy(update={"classes": tuple(fitting)})


def file_digest_of(path: str) -> str:
    """SHA-256 of a user's file; InvalidRequest if it cannot be read."""
    try:
        return file_digest(Path(path))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error


def _images_of(dataset: str | None, url: str) -> int | None:
    if dataset is None:
        return None
    with reading(url) as session:
        return session.scalar(select(Dataset.num_images).where(Dataset.name == dataset))


def _title(request: RunRequest) -> str:
    random = " (random weights)" if request.weights.kind == WeightsKind.RANDOM else ""
    return f"{request.model_id}{random}: {', '.join(request.precisions)}"


def _submit_jobs(session: Session, request: RunRequest, images: int | None) -> Iterator[int]:
    datasets = {}
    for name in _builtin_datasets(request, session):
        datasets[name] = queue.submit(session, dataset_job(DatasetSpec(name=name, builtin=True)))
        yield datasets[name]
    export = queue.submit(session, export_job(export_spec(request)))
    yield export
    builds = {}
    for precision in request.built:
        spec = build_spec(request, precision)
        needs = [export]
        looks_at = spec.calibration or spec.range_check
        if looks_at and looks_at.dataset in datasets:
            needs.append(datasets[looks_at.dataset])
        builds[precision] = (spec, queue.submit(session, build_job(spec, needs)))
        yield builds[precision][1]
    for spec, build in builds.values():
        if Task.EVALUATE in request.tasks:
            needs = [
                build,
                *([datasets[str(request.dataset)]] if request.dataset in datasets else []),
            ]
            yield from _evaluations(session, request, spec, images, needs)
        if Task.BENCHMARK in request.tasks:
            for point in points_of(request):
                job = benchmark_job(benchmark_spec(request, point, build=spec), [build])
                yield queue.submit(session, job)
        if Task.PROFILE in request.tasks:
            yield queue.submit(session, profile_job(profile_spec(request, spec), [build]))


def _builtin_datasets(request: RunRequest, session: Session) -> list[str]:
    missing = [name for name in BUILTIN_DATASETS if name in request.datasets]
    registered = set(session.scalars(select(Dataset.name).where(Dataset.name.in_(missing))))
    return [name for name in missing if name not in registered]


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


def _evaluations(
    session: Session, request: RunRequest, build: BuildSpec, images: int | None, needs: list[int]
) -> Iterator[int]:
    spec = EvaluateSpec(
        build=build,
        dataset=str(request.dataset),
        preprocess=request.evaluation_preprocess,
        limit=request.limit,
        provider=request.provider,
    )
    count = min(images or 0, request.limit or images or 0)
    shards = []
    if count >= SHARDED_FROM_IMAGES:
        for start, stop in shard_ranges(count, spec.batch):
            shard = spec.model_copy(update={"start": start, "stop": stop})
            shards.append(queue.submit(session, evaluate_job(shard, needs)))
    yield from shards
    yield queue.submit(session, evaluate_job(spec, [*needs, *shards]))


def jobs_of(run_id: int, url: str) -> list[int]:
    """Ids of the jobs that a run is made of, in the order they were queued."""
    with reading(url) as session:
        statement = select(RunJob.job_id).where(RunJob.run_id == run_id).order_by(RunJob.job_id)
        return list(session.scalars(statement))

"""Submission of a run: check the request, compile it to jobs, queue them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from db.enums import WeightsKind
from db.models import Dataset, Run, RunJob
from db.session import reading, writing
from engine.catalog.models import find_model
from engine.common.digests import file_digest
from engine.datasets.reader import load_classes
from engine.errors import InvalidRequest
from engine.jobs import queue
from engine.runs.compile import compile
from engine.runs.plan import plan
from engine.runs.request import BUILTIN_DATASETS, RunRequest
from engine.specs import absolute
from engine.weights.registry import find_registered


def submit(request: RunRequest, url: str) -> int:
    """Queues a run and returns its id. Raises InvalidRequest with all problems."""
    problems = plan(request, url).problems
    if problems:
        raise InvalidRequest(" ".join(problems))
    request = with_dataset_classes(with_file_digest(request), url)
    with writing(url) as session:
        images = session.scalar(select(Dataset.num_images).where(Dataset.name == request.dataset))
        registered = set(
            session.scalars(select(Dataset.name).where(Dataset.name.in_(BUILTIN_DATASETS)))
        )
        run = Run(title=_title(request), request=request.to_json())
        session.add(run)
        session.flush()
        ids: list[int] = []
        for job in compile(request, images=images, registered=registered):
            needs = tuple(ids[position] for position in job.needs)
            ids.append(queue.submit(session, replace(job, needs=needs)))
        for job_id in ids:
            session.merge(RunJob(run_id=run.id, job_id=job_id))
        return run.id


def with_file_digest(request: RunRequest) -> RunRequest:
    """The request with the SHA-256 of its weights file, or of the file registered for its model."""
    weights = request.weights
    if weights.kind == WeightsKind.PRETRAINED:
        registered = find_registered(find_model(request.model_id))
        digest = registered.digest if registered else None
        key = weights.key or (registered.key if registered else None)
        identified = weights.model_copy(update={"sha256": digest, "key": key})
        return request.model_copy(update={"weights": identified})
    if weights.kind != WeightsKind.FILE or weights.path is None:
        return request
    path = absolute(weights.path)
    identified = weights.model_copy(update={"path": path, "sha256": digest_user_file(path)})
    return request.model_copy(update={"weights": identified})


def with_dataset_classes(request: RunRequest, url: str) -> RunRequest:
    """The request with the class counts of its dataset, for an ONNX file of several outputs.

    The export finds the scores output by them where the request does not name it.
    """
    path = request.weights.path
    if request.output or not path or not request.model_id.startswith("onnx/"):
        return request
    from engine.onnx.graph_io import count_outputs  # imports onnx

    if request.dataset is None or count_outputs(Path(path)) < 2:
        return request.model_copy(update={"classes": ()})
    with reading(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == request.dataset))
    if row is None:
        return request
    classes = load_classes(row)
    present = len(classes.present or ()) if classes is not None else 0
    counts = dict.fromkeys(count for count in (row.num_classes, present) if count)
    return request.model_copy(update={"classes": tuple(counts)})


def digest_user_file(path: str) -> str:
    """SHA-256 of a file. Raises InvalidRequest if it cannot be read."""
    try:
        return file_digest(Path(path))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error


def _title(request: RunRequest) -> str:
    random = " (random weights)" if request.weights.kind == WeightsKind.RANDOM else ""
    return f"{request.model_id}{random}: {', '.join(request.precisions)}"


def run_job_ids(run_id: int, url: str) -> list[int]:
    """Ids of the jobs of a run, in queue order."""
    with reading(url) as session:
        statement = select(RunJob.job_id).where(RunJob.run_id == run_id).order_by(RunJob.job_id)
        return list(session.scalars(statement))

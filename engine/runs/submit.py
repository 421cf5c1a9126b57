"""Submission of a run: check the request, compile it to jobs, queue them."""

from __future__ import annotations

from sqlalchemy import select

from db.enums import WeightsKind
from db.models import Run, RunJob
from db.session import reading, writing
from engine.datasets.available import AvailableDatasets
from engine.errors import InvalidRequest
from engine.jobs import queue
from engine.runs.compile import compile_for
from engine.runs.identified import identified
from engine.runs.placement import placed, places_of, with_target
from engine.runs.plan import plan
from engine.runs.request import RunRequest
from engine.weights.lookup import share_file


def submit(request: RunRequest, url: str) -> int:
    """Queues a run and returns its id. Raises InvalidRequest with all problems."""
    problems = plan(request, url).problems
    if problems:
        raise InvalidRequest(" ".join(problems))
    places = places_of(request, url)
    request, parts = identified(with_target(request, places), url)
    for part in parts:
        share_file(part.weights)
    with writing(url) as session:
        available = AvailableDatasets.load(session)
        run = Run(title=title_of(request), request=request.to_json())
        session.add(run)
        session.flush()
        jobs = placed(compile_for(parts, request.dataset, available), places)
        ids = queue.submit_all(session, jobs)
        session.add_all(RunJob(run_id=run.id, job_id=job_id) for job_id in dict.fromkeys(ids))
        return run.id


def title_of(request: RunRequest) -> str:
    if request.name:
        return request.name
    models = request.models
    random = all(model.weights.kind == WeightsKind.RANDOM for model in models)
    subject = request.model_id if len(models) == 1 else f"{len(models)} models"
    weights = " (random weights)" if random else ""
    return f"{subject}{weights}: {', '.join(request.precisions)}"


def run_job_ids(run_id: int, url: str) -> list[int]:
    """Ids of the jobs of a run, in queue order."""
    with reading(url) as session:
        statement = select(RunJob.job_id).where(RunJob.run_id == run_id).order_by(RunJob.job_id)
        return list(session.scalars(statement))

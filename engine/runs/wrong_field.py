"""Which field of a request was wrong, when one of its jobs failed because of the request."""

from __future__ import annotations

from db.enums import JobKind, JobStatus
from db.models import Job
from engine import errors
from engine.jobs.results import JobResult

_BY_ERROR: dict[str, str] = {
    errors.WeightsUnavailable.__name__: "weights",
    errors.CheckpointRejected.__name__: "weights",
    errors.ExportFailed.__name__: "model_id",
    errors.DatasetInvalid.__name__: "dataset",
    errors.LabelsMismatch.__name__: "dataset",
    errors.ProviderUnavailable.__name__: "provider",
    errors.NotSupported.__name__: "runtimes",
    errors.BuildFailed.__name__: "precisions",
}
_BY_KIND: dict[str, str] = {
    JobKind.EXPORT: "model_id",
    JobKind.BUILD: "precisions",
    JobKind.BENCHMARK: "runtimes",
    JobKind.EVALUATE_SHARD: "dataset",
    JobKind.EVALUATE: "dataset",
}


def wrong_field(job: Job) -> str | None:
    """The name in `engine.runs.fields` of the field to mend; None where a retry is the answer."""
    if job.status != JobStatus.FAILED:
        return None
    kind = JobResult.from_stored(job.result).error_kind
    if kind == errors.InvalidRequest.__name__:
        return _BY_KIND.get(job.kind)
    if kind == errors.DatasetInvalid.__name__ and job.kind == JobKind.BUILD:
        return "calibration_dataset"
    return _BY_ERROR.get(kind or "")

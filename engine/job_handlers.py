"""Which function does which kind of job. Modules are imported only in the job's own process."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from db.enums import JobKind
from engine.jobs.context import JobContext

Handler = Callable[[dict[str, Any], JobContext], dict[str, Any]]

HANDLERS: dict[str, str] = {
    JobKind.PREPARE_DATASET: "engine.datasets.registration:run",
    JobKind.EXPORT: "engine.export.job:run",
    JobKind.BUILD: "engine.build.job:run",
    JobKind.BENCHMARK: "engine.benchmark.job:run",
    JobKind.EVALUATE_SHARD: "engine.evaluation.job:run_shard",
    JobKind.EVALUATE: "engine.evaluation.job:run",
    JobKind.PEAK: "engine.peak.job:run",
    JobKind.PROFILE: "engine.profiling.job:run",
    JobKind.EXCITATIONS: "engine.excitations.job:run",
}


def handler_of(kind: str) -> Handler:
    """The function `module:name` of a job kind, taking (params, context) and returning a result."""
    module, _, name = HANDLERS[kind].partition(":")
    handler: Handler = getattr(import_module(module), name)
    return handler

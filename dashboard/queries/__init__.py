"""Queries of the pages; results are cached until a job changes them."""

from dashboard.queries.checkpoints import identify_weights_file
from dashboard.queries.jobs import (
    JobView,
    ended_jobs,
    find_run,
    has_live_jobs,
    live_jobs,
    newest_job,
    recent_runs,
    run_jobs,
    run_stages,
    unresolved_failures,
)
from dashboard.queries.results import outdated, published, results, results_of, tables
from dashboard.queries.samples import (
    classes_judged,
    dataset_index,
    difference,
    flips_of,
    latencies,
    pairs,
    same_classes,
)
from dashboard.queries.state import url, version
from dashboard.queries.stored import (
    artifacts,
    builds,
    datasets,
    disk_use,
    health,
    peaks,
    provenance,
)

__all__ = [
    "JobView",
    "artifacts",
    "builds",
    "classes_judged",
    "dataset_index",
    "datasets",
    "difference",
    "disk_use",
    "ended_jobs",
    "find_run",
    "flips_of",
    "has_live_jobs",
    "health",
    "identify_weights_file",
    "latencies",
    "live_jobs",
    "newest_job",
    "outdated",
    "pairs",
    "peaks",
    "provenance",
    "published",
    "recent_runs",
    "results",
    "results_of",
    "run_jobs",
    "run_stages",
    "same_classes",
    "tables",
    "unresolved_failures",
    "url",
    "version",
]

"""Queries of the pages; results are cached until a job changes them."""

from dashboard.queries.catalog import catalog_table
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
    tags_in_use,
    unresolved_failures,
)
from dashboard.queries.results import (
    outdated_environments,
    published,
    results,
    results_of_measurements,
    tables,
)
from dashboard.queries.samples import (
    benchmark_protocol,
    dataset_index,
    evidence,
    flips_of,
    has_same_classes,
    labeled_class_count,
    latencies,
    paired_difference,
    pairs,
    speed_ratio,
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
from dashboard.queries.thumbnails import thumbnails

__all__ = [
    "JobView",
    "artifacts",
    "benchmark_protocol",
    "builds",
    "catalog_table",
    "dataset_index",
    "datasets",
    "disk_use",
    "ended_jobs",
    "evidence",
    "find_run",
    "flips_of",
    "has_live_jobs",
    "has_same_classes",
    "health",
    "identify_weights_file",
    "labeled_class_count",
    "latencies",
    "live_jobs",
    "newest_job",
    "outdated_environments",
    "paired_difference",
    "pairs",
    "peaks",
    "provenance",
    "published",
    "recent_runs",
    "results",
    "results_of_measurements",
    "run_jobs",
    "run_stages",
    "speed_ratio",
    "tables",
    "tags_in_use",
    "thumbnails",
    "unresolved_failures",
    "url",
    "version",
]

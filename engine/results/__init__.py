"""The table of results: one row for each build, benchmark and evaluation that belong together.

A build's newest evaluation on each (dataset, labels, preprocessing, subset) stands beside its
newest benchmark at each (batch, threads, instances, processes, provider, machine, scenario). What
was not measured is missing, never zero. Results of other machines stand in the same table under the
digest of their imported build; `origin` says where they come from.
"""

from engine.results.builds import MEASURED_HERE
from engine.results.columns import COLUMNS, STORED
from engine.results.joining import (
    ResultTables,
    join_results,
    result_tables,
    results_frame,
    results_of,
)
from engine.results.published import published_frame

__all__ = [
    "COLUMNS",
    "MEASURED_HERE",
    "STORED",
    "ResultTables",
    "join_results",
    "published_frame",
    "result_tables",
    "results_frame",
    "results_of",
]

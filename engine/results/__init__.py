"""The table of results: one row for each build, benchmark and evaluation that belong together.

A row joins a build's newest evaluation for each (dataset, labels, preprocessing, subset) with its
newest benchmark for each (batch, threads, concurrency, processes, provider, machine, scenario).
A value that was not measured is missing, never zero. Imported results of other machines are rows of
the same table, under the digest of their imported build; `origin` names their source.
"""

from engine.results.builds import MEASURED_HERE
from engine.results.columns import COLUMNS, STORED
from engine.results.joining import (
    ResultTables,
    join_results,
    result_tables,
    results_frame,
    results_of_measurements,
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
    "results_of_measurements",
]

"""Options of `recommend` and `gate`: the constraints of a deployment."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.benchmark.sweep import Percentile
from engine.common.untrusted import MAX_FIGURE
from engine.results.recommend import Goal

MaxLatency = Annotated[
    float | None,
    typer.Option("--max-latency", min=0, max=MAX_FIGURE, help="Max latency of one request. ms."),
]
LatencyPercentile = Annotated[
    Percentile, typer.Option("--percentile", help="Percentile that --max-latency limits.")
]
MaxDrop = Annotated[
    float,
    typer.Option(
        "--max-drop",
        min=0,
        max=100,
        help="Max accuracy drop, in percentage points of top-1.",
    ),
]
MinTop1 = Annotated[
    float | None, typer.Option("--min-top1", min=0, max=100, help="Min top-1, in percent.")
]
MaxSize = Annotated[
    float | None,
    typer.Option("--max-size", min=0, max=MAX_FIGURE, help="Max size of the model file, in MB."),
]
MaxMemory = Annotated[
    float | None,
    typer.Option(
        "--max-memory", min=0, max=MAX_FIGURE, help="Max peak memory of the process, in MB."
    ),
]
Optimize = Annotated[
    Goal,
    typer.Option(
        "--optimize",
        help="Accuracy: the most accurate model, at its fastest precision within the constraints. "
        "Throughput: the fastest build within them.",
    ),
]

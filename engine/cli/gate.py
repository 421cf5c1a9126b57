"""`gate`: whether a candidate build may replace a baseline, for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.benchmark.sweep import Percentile
from engine.cli import answer_options as a
from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note, out
from engine.common.files import write_text
from engine.errors import InvalidRequest
from engine.results.gate import (
    check,
    decision_document,
    junit,
    markdown,
    resolve,
)
from engine.results.gate.reports import INCONCLUSIVE, verdict
from engine.results.recommend import Constraints, stored_evidence
from engine.store.database import prepare_database
from engine.text import printable

EXIT_CODES = {"pass": 0, "fail": 1, INCONCLUSIVE: 2}
SIDE = (
    "A build as model:precision (the one measured last) or by the first digits of its digest, or a "
    "file of `results --json --per-image` (with several builds: FILE:model:precision)."
)


def gate(
    baseline: Annotated[str, typer.Option("--baseline", help=SIDE)],
    candidate: Annotated[str, typer.Option("--candidate", help=SIDE)],
    max_drop: a.MaxDrop = 1.0,
    max_latency: a.MaxLatency = None,
    percentile: a.LatencyPercentile = Percentile.P90,
    min_top1: a.MinTop1 = None,
    max_size: a.MaxSize = None,
    max_memory: a.MaxMemory = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", "-d", help="Dataset of the accuracies. Default: the newest of both sides."
        ),
    ] = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", help="JUnit XML file to write.")
    ] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Markdown file to write.")
    ] = None,
    json: Json = False,
) -> int:
    """Decides whether a candidate build may replace a baseline: exit code 0 pass, 1 fail, 2 open.

    Pass: the paired 95 % interval of the accuracy drop is within --max-drop, and every other limit
    is met. Fail: a limit is shown to be missed. Inconclusive (2): too few images, a disturbed or
    unstable speed, or missing data, which never passes. Without --max-latency no speed is needed.
    An error, such as a build that does not exist, ends with 1.

    Example: `python -m engine gate --baseline timm/seresnet50:fp32 --candidate
    timm/seresnet50:int8 --max-drop 1.0 --junit gate.xml`
    """
    url = prepare_database()
    limits = Constraints(percentile, max_latency, max_drop, min_top1, max_size, max_memory)
    pair = resolve(baseline, candidate, url, dataset)
    decision = check(pair, limits, stored_evidence(url))
    for path, render in ((junit_file, junit), (markdown_file, markdown)):
        if path is not None:
            try:
                write_text(path, render(decision))
            except OSError as error:
                raise InvalidRequest(f"{path} cannot be written: {error.strerror}.") from error
    found = verdict(decision.state)
    if json:
        emit_json(decision_document(decision))
    else:
        emit_table(
            f"{decision.candidate} vs {decision.baseline}",
            ("", "check", "limit", "measured"),
            [(verdict(one.state), one.name, one.limit, one.sentence) for one in decision.checks],
        )
        out.print(printable(f"{found}: {decision.state}."))
        if found == INCONCLUSIVE:
            note("Inconclusive is not a pass: exit code 2.")
    return EXIT_CODES[found]

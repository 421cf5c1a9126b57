"""`verify`: published figures of the catalog against evaluations of the published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import options as o
from engine.cli.follow import finish_run, submit_with_warnings
from engine.cli.output import emit_json, emit_table, note
from engine.common.files import disk_full_as_error
from engine.errors import InvalidRequest, WorkbenchError
from engine.jobs.dispatcher import ensure_dispatcher
from engine.results.verification import (
    Verdict,
    Verification,
    catalog_models,
    verification_markdown,
    verification_request,
    verification_summary,
    verification_table,
    verifications,
)
from engine.store.database import prepare_database

EXIT_CODES = {Verdict.DIFFERS: 1, Verdict.NOT_MEASURED: 2, Verdict.AGREES: 0}
"""By verdict, the one that decides first."""


def verify(
    model: Annotated[
        str | None, typer.Argument(help="Model of the catalog, such as `timm/seresnet50`.")
    ] = None,
    catalog: Annotated[
        bool, typer.Option("--catalog", help="All 25 models of the catalog.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", help="A registered dataset with the ImageNet-1k classes."),
    ] = None,
    max_images: o.MaxImages = None,
    show: Annotated[
        bool, typer.Option("--show", help="Only show the table as it is; queue nothing.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the table as Markdown.")
    ] = None,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Holds published top-1 and top-5 against the published weights, evaluated here.

    Downloads the exact weights of each row (or takes the registered ones), evaluates them in fp32
    with the preprocessing of the published figure, and compares it with the measured one and its
    95 % interval. Rows that were evaluated on as many images before are not evaluated again, so a
    stopped command goes on where it was. Exit code: 0 all agree, 1 a row differs, 2 not all were
    measured.

    Example: `python -m engine verify --catalog --dataset imagenet-val -o verified.md`
    """
    if (model is None) == (not catalog):
        raise InvalidRequest("Give a model of the catalog, or --catalog for all of them.")
    if dataset is None:
        raise InvalidRequest("Verify needs --dataset NAME; `dataset list` shows the datasets.")
    url, models = prepare_database(), catalog_models(model)
    least = max_images or 1
    if not show:
        rows = verifications(models, dataset, url, least)
        open_ = {row.model_id for row in rows if row.verdict == Verdict.NOT_MEASURED}
        for one in (one for one in models if one.id in open_):
            try:
                run = submit_with_warnings(verification_request(one, dataset, max_images))
                if not detach:
                    finish_run(run)
            except WorkbenchError as error:
                if len(models) == 1:
                    raise
                note(f"{one.id} was left out: {error}")
        if detach:
            ensure_dispatcher()
            note(f"{len(open_)} runs queued; `verify --show` shows the table.")
    return _report(verifications(models, dataset, url, least), dataset, output, json)


def _report(rows: list[Verification], dataset: str, output: Path | None, json: bool) -> int:
    if json:
        emit_json([row.document() for row in rows])
    else:
        table = verification_table(rows)
        emit_table(f"Published figures on {dataset}", list(table.columns), table.values.tolist())
        note(verification_summary(rows, dataset))
    if output is not None:
        try:
            with disk_full_as_error(output.parent):
                output.write_text(verification_markdown(rows, dataset))
        except OSError as error:
            raise InvalidRequest(f"{output} cannot be written: {error.strerror}.") from error
    verdicts = {row.verdict for row in rows}
    return next(code for verdict, code in EXIT_CODES.items() if verdict in verdicts)

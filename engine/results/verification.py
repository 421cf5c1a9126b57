"""Published figures of the catalog held against evaluations of the published weights.

The weights of a row are downloaded (or registered) by the export, and evaluated with the
preprocessing that the published figure was made with. A row that was evaluated is not evaluated
again: the table is read from the results.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import pandas as pd
from sqlalchemy import select

from db.enums import Precision, WeightsKind
from db.models import Artifact, Evaluation
from db.session import reading
from engine.catalog.models import CatalogModel, catalog
from engine.common.stats import wilson_interval
from engine.errors import InvalidRequest
from engine.preprocess import PreprocessSpec
from engine.results.formats import to_markdown
from engine.runs.request import RunRequest, Task
from engine.text import MISSING, number, quoted, signed

TASKS = (Task.EXPORT, Task.BUILD, Task.EVALUATE)


class Verdict(StrEnum):
    """Whether the published figure lies within the 95 % interval of the measured one."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Check:
    """One published figure in percent, and the measured one with its Wilson 95 % interval."""

    published: float
    measured: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> Verdict:
        """Agrees, differs, or not measured."""
        if self.measured is None or self.low is None or self.high is None:
            return Verdict.NOT_MEASURED
        # Published figures are rounded to two or three digits.
        within = self.low - 0.005 <= self.published <= self.high + 0.005
        return Verdict.AGREES if within else Verdict.DIFFERS

    def text(self) -> str:
        """`80.30 (77.72 to 82.65)`; a dash where nothing was measured."""
        if self.measured is None:
            return MISSING
        return f"{number(self.measured, 2)} ({number(self.low, 2)} to {number(self.high, 2)})"


@dataclass(frozen=True, slots=True)
class Verification:
    """A catalog row with its two checks; `images`: of the evaluation, None without one."""

    model_id: str
    top1: Check
    top5: Check
    images: int | None = None
    weights_digest: str | None = None
    evaluation_id: int | None = None

    @property
    def verdict(self) -> Verdict:
        """Differs if one of the two figures does."""
        both = {self.top1.verdict, self.top5.verdict}
        return next(verdict for verdict in _STRICTEST if verdict in both)

    def document(self) -> dict[str, Any]:
        """All fields as plain values, for JSON."""
        checks = {
            name: {**asdict(check), "verdict": str(check.verdict)}
            for name, check in (("top1", self.top1), ("top5", self.top5))
        }
        return {**asdict(self), **checks, "verdict": str(self.verdict)}


_STRICTEST = (Verdict.DIFFERS, Verdict.NOT_MEASURED, Verdict.AGREES)


def catalog_models(model_id: str | None = None) -> list[CatalogModel]:
    """The rows to verify: one, or all. Raises InvalidRequest for a model outside the catalog."""
    if model_id is None:
        return list(catalog().values())
    if model_id not in catalog():
        raise InvalidRequest(
            f"{quoted(model_id)} has no published figures here: name one of the models of `models`."
        )
    return [catalog()[model_id]]


def verification_request(model: CatalogModel, dataset: str, images: int | None) -> RunRequest:
    """The run that makes a row's figure: published weights in fp32, published preprocessing."""
    return RunRequest(
        model_id=model.id,
        precisions=(Precision.FP32,),
        tasks=TASKS,
        dataset=dataset,
        limit=images,
    )


def verifications(
    models: Iterable[CatalogModel], dataset: str, url: str, least_images: int = 1
) -> list[Verification]:
    """The rows with their evaluations on `dataset`: of each, the one of most images, then newest.

    Only complete evaluations of at least `least_images`, of pretrained weights in fp32 with the
    published preprocessing.
    """
    found = _evaluations(dataset, url)
    return [_verification(model, found.get(model.id, ()), least_images) for model in models]


def _evaluations(dataset: str, url: str) -> dict[str, list[tuple[Evaluation, str | None]]]:
    statement = (
        select(Evaluation, Artifact.model_id, Artifact.weights_digest)
        .join(Artifact, Artifact.digest == Evaluation.artifact_digest)
        .where(
            Evaluation.dataset_name == dataset,
            Evaluation.label_set == "dataset",
            Evaluation.top1_count.is_not(None),
            Artifact.precision == Precision.FP32,
            Artifact.weights_kind == WeightsKind.PRETRAINED,
        )
        .order_by(Evaluation.images.desc(), Evaluation.created_at.desc())
    )
    by_model: dict[str, list[tuple[Evaluation, str | None]]] = {}
    with reading(url) as session:
        for row, model_id, weights in session.execute(statement):
            by_model.setdefault(model_id, []).append((row, weights))
    return by_model


def _verification(
    model: CatalogModel, rows: Iterable[tuple[Evaluation, str | None]], least_images: int
) -> Verification:
    published = model.published_top1 or 0.0, model.published_top5 or 0.0
    protocol = model.preprocess.digest() if model.preprocess else None
    for row, weights in rows:
        complete = row.images_planned is None or row.images >= row.images_planned
        own = PreprocessSpec.from_dict(row.preprocess or {}).digest() == protocol
        if complete and own and row.images >= least_images:
            counts = row.top1_count or 0, row.top5_count or 0
            top1, top5 = (
                _check(figure, count, row.images)
                for figure, count in zip(published, counts, strict=True)
            )
            return Verification(model.id, top1, top5, row.images, weights, row.id)
    return Verification(model.id, Check(published[0]), Check(published[1]))


def _check(published: float, count: int, images: int) -> Check:
    low, high = wilson_interval(count, images)
    return Check(published, 100 * count / images, 100 * low, 100 * high)


def verification_table(rows: Iterable[Verification]) -> pd.DataFrame:
    """The rows as texts, for a terminal, a page and Markdown."""
    return pd.DataFrame(
        [
            {
                "model": row.model_id,
                "verdict": str(row.verdict),
                "published top-1 (%)": number(row.top1.published, 2),
                "measured top-1 (95 % interval)": row.top1.text(),
                "difference (pp)": _difference(row.top1),
                "published top-5 (%)": number(row.top5.published, 2),
                "measured top-5 (95 % interval)": row.top5.text(),
                "images": MISSING if row.images is None else f"{row.images:,}",
                "weights": (row.weights_digest or MISSING)[:12],
            }
            for row in rows
        ]
    )


def _difference(check: Check) -> str:
    if check.measured is None:
        return MISSING
    return signed(check.measured - check.published, 2)


def verification_summary(rows: Iterable[Verification], dataset: str) -> str:
    """`23 of 25 rows agree with their published top-1 and top-5 on imagenet-val; ...`."""
    verdicts = [row.verdict for row in rows]
    agree, differ, open_ = (verdicts.count(verdict) for verdict in (
        Verdict.AGREES, Verdict.DIFFERS, Verdict.NOT_MEASURED
    ))  # fmt: skip
    return (
        f"{agree} of {len(verdicts)} rows agree with their published top-1 and top-5 on {dataset}; "
        f"{differ} differ, {open_} not measured. A 95 % interval misses 1 figure in 20 by chance."
    )


def verification_markdown(rows: list[Verification], dataset: str) -> str:
    """The summary and the table as Markdown."""
    summary = verification_summary(rows, dataset)
    return f"{summary}\n\n{to_markdown(verification_table(rows))}"

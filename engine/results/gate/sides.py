"""The two sides of a gate: a build with its measurements, or a row of a result file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.benchmark.scenarios.definitions import CLOSED_LOOP
from engine.common.untrusted import read_json
from engine.errors import InvalidRequest, WorkbenchError
from engine.evaluation.comparability import find_incompatibility
from engine.evaluation.per_image import find_evaluation, load_per_image
from engine.results.columns import COLUMNS, STORED
from engine.results.gate.per_image_text import COLUMN, correct_from
from engine.results.joining import results_frame
from engine.specs.comparability import SAME_IMAGES
from engine.text import is_missing, quoted, short

Row = dict[str, Any]
MIN_DIGEST = 6


@dataclass(frozen=True, slots=True)
class Side:
    """One side: `row` of the results, `correct` (n,) by image (None: totals only).

    `local`: its evaluation is in this home.
    """

    name: str
    row: Row
    correct: np.ndarray | None
    local: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides; `not_comparable`: why their accuracies are not of the same images, else None."""

    baseline: Side
    candidate: Side
    not_comparable: str | None


def resolve(baseline: str, candidate: str, url: str, dataset: str | None = None) -> Pair:
    """Reads both sides on an image set that both have, the newest; `dataset`: only on this one.

    A side is `model:precision` (its build that was measured last), the first digits of a build, or
    a file of `results --json`, with `:precision` or `:model:precision` where it holds several
    builds. Raises InvalidRequest where a side names no build, or several.
    """
    stored = results_frame(url, hidden=True)
    firsts, seconds = (_rows_of(text, stored) for text in (baseline, candidate))
    if dataset is not None:
        firsts, seconds = (
            _on_dataset(rows, dataset, text)
            for rows, text in ((firsts, baseline), (seconds, candidate))
        )
    first, second = _same_images(firsts, seconds)
    sides = _side(first, baseline, url), _side(second, candidate, url)
    return Pair(*sides, _why_not(*sides, url))


def _rows_of(text: str, stored: pd.DataFrame) -> list[Row]:
    """The rows of one build, the newest first; rows of a file have the key `file`."""
    path, _, selector = text, "", ""
    if not Path(path).is_file() and ":" in text:
        path, _, selector = text.partition(":")
    if Path(path).is_file():
        return _one_build(_read_file(Path(path)), selector, Path(path).name)
    lowered = text.lower()
    if len(lowered) >= MIN_DIGEST and all(sign in "0123456789abcdef" for sign in lowered):
        selected = stored[stored["artifact_digest"].str.startswith(lowered)]
        return _one_build(selected, "", f"the digest {lowered}")
    model, _, precision = text.rpartition(":")
    selected = stored[(stored["model_id"] == model) & (stored["precision"] == precision)]
    if selected.empty:
        raise InvalidRequest(
            f"{quoted(text)} is no build: give model:precision (such as timm/seresnet50:int8), the "
            "first digits of a build, or a file of `results --json`."
        )
    newest = selected.iloc[0]["artifact_digest"]
    return _records(selected[selected["artifact_digest"] == newest])


def _one_build(frame: pd.DataFrame, selector: str, where: str) -> list[Row]:
    model, _, precision = selector.rpartition(":")
    if precision:
        frame = frame[frame["precision"] == precision]
    if model:
        frame = frame[frame["model_id"] == model]
    builds = frame.drop_duplicates("artifact_digest")
    if len(builds) == 1:
        return _records(frame)
    names = ", ".join(
        f"{row['model_id']}:{row['precision']} ({short(str(row['artifact_digest']))})"
        for row in builds.head(6).to_dict("records")
    )
    asked = f" {selector}" if selector else ""
    if builds.empty:
        raise InvalidRequest(f"There is no build{asked} in {where}.")
    raise InvalidRequest(
        f"There are {len(builds)} builds{asked} in {where}: {names}; name one of them, such as "
        "FILE:model:precision."
    )


def _records(frame: pd.DataFrame) -> list[Row]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _read_file(path: Path) -> pd.DataFrame:
    """The rows of a result file, columns as in STORED. Raises InvalidRequest."""
    document = read_json(path)
    if isinstance(document, dict):  # JSON with provenance, or that of `run --json`
        document = document.get("results")
    wrong = InvalidRequest(
        f"{path.name} is not a result file: write it with `results --json --per-image`."
    )
    if not isinstance(document, list) or not document:
        raise wrong
    for row in document:
        if not isinstance(row, dict) or not {"model_id", "precision"} <= set(row):
            raise wrong
        for name in {*row} & {*STORED}:
            value = row[name]
            if value is not None and COLUMNS[name].is_number and isinstance(value, str | list):
                raise wrong
    frame = pd.DataFrame(document).reindex(columns=[*STORED, COLUMN]).astype(object)
    frame["artifact_digest"] = frame["artifact_digest"].fillna(
        frame["model_id"].astype(str) + ":" + frame["precision"].astype(str)
    )
    return frame.assign(file=path.name)


def _on_dataset(rows: list[Row], dataset: str, text: str) -> list[Row]:
    kept = [row for row in rows if row["dataset"] == dataset]
    if not kept:
        known = sorted({str(row["dataset"]) for row in rows if not is_missing(row["dataset"])})
        raise InvalidRequest(
            f"{text} was not evaluated on {quoted(dataset)}: it was on "
            f"{', '.join(known) or 'none'}."
        )
    return kept


def _same_images(firsts: list[Row], seconds: list[Row]) -> tuple[Row, Row]:
    """The first pair of rows on the same images, of which the candidate has a speed if any has."""
    ordered = sorted(seconds, key=lambda row: not _has_speed(row))
    for second in ordered:
        for first in firsts:
            if not is_missing(first["top1"]) and _images_of(first) == _images_of(second):
                return first, second
    return firsts[0], ordered[0]


def _has_speed(row: Row) -> bool:
    return not is_missing(row["images_per_s"]) and row["scenario"] == CLOSED_LOOP


def _images_of(row: Row) -> tuple[str, ...]:
    return tuple("" if is_missing(row[name]) else str(row[name]) for name in SAME_IMAGES)


def _side(row: Row, text: str, url: str) -> Side:
    source = row.get("file")
    name = f"{row['model_id']} {row['precision']} ({short(str(row['artifact_digest']))}"
    name += f", {source})" if isinstance(source, str) else ")"
    correct = None
    if isinstance(source, str):
        correct = correct_from(row.get(COLUMN), int(row["images"] or 0), source)
    local = _stored_correct(row, url)
    if correct is None:
        correct = local
    return Side(name, row, correct, local is not None)


def _stored_correct(row: Row, url: str) -> np.ndarray | None:
    """The per-image results of a row whose evaluation is in this home; None without them."""
    if is_missing(row["evaluation_id"]):
        return None
    try:
        stored = find_evaluation(int(row["evaluation_id"]), url)
        digest = stored.artifact_digest or stored.imported_digest
        if (digest, stored.top1_count) != (row["artifact_digest"], row["top1_count"]):
            return None
        images = load_per_image(stored)
    except WorkbenchError:
        return None
    return images.correct if images.labeled else None


def _why_not(first: Side, second: Side, url: str) -> str | None:
    for side in (first, second):
        if is_missing(side.row["top1"]):
            return f"{side.name} was not evaluated"
        if side.row["images"] != side.row["images_planned"]:
            return f"the evaluation of {side.name} is partial"
        if side.row["weights_kind"] == "random":
            return f"{side.name} has random weights"
    if first.local and second.local:
        rows = [find_evaluation(int(side.row["evaluation_id"]), url) for side in (first, second)]
        reason = find_incompatibility(rows[0], rows[1], url)
        return reason.sentence.rstrip(".") if reason else None
    a, b = _images_of(first.row), _images_of(second.row)
    if any(one != other and "" not in (one, other) for one, other in zip(a, b, strict=True)):
        return (
            f"they were evaluated on different images: {first.row['dataset']}, "
            f"{first.row['images']:,.0f} images, and {second.row['dataset']}, "
            f"{second.row['images']:,.0f} images"
        )
    if first.row["model_id"] == second.row["model_id"] and (
        first.row["preprocess"] != second.row["preprocess"]
    ):
        return (
            f"their preprocessing differs: {first.row['preprocess']} and {second.row['preprocess']}"
        )
    return None

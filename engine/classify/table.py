"""Predictions as rows: one for each image and build, the same on pages and in the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from db.models import Artifact
from engine.classify.predict import Classification
from engine.classify.true_class import TrueClasses
from engine.text import printable

TOP_COLUMNS = ("index", "class", "probability")


@dataclass(frozen=True, slots=True)
class Predicted:
    """What one build predicts for one image; `true_index`: where the name of the file tells it."""

    image: str
    build: Artifact
    runtime: str
    result: Classification
    true_index: int | None = None
    true_class: str | None = None

    @property
    def correct(self) -> bool | None:
        """Whether top-1 is the true class; None where that is not known."""
        if self.true_index is None:
            return None
        return self.result.predictions[0].index == self.true_index


def predict_row(
    image: str, build: Artifact, runtime: str, result: Classification, truths: TrueClasses
) -> Predicted:
    """A prediction with the true class that the name of the image tells."""
    index = truths.find(image)
    name = None if index is None else truths.names[index]
    return Predicted(image, build, runtime, result, index, name)


def agree(results: Sequence[Classification]) -> bool:
    """Whether all builds have the same top-1."""
    return len({result.predictions[0].index for result in results}) <= 1


def prediction_rows(predicted: Iterable[Predicted]) -> list[dict[str, Any]]:
    """Flat rows: image, true class, build; index, class and probability (0 to 1) of the top-5."""
    rows = []
    for one in predicted:
        row: dict[str, Any] = {
            "image": one.image,
            "true_index": one.true_index,
            "true_class": one.true_class,
            "model": one.build.model_id,
            "precision": one.build.precision,
            "runtime": one.runtime,
            "artifact": one.build.digest,
            "correct": one.correct,
        }
        for rank, prediction in enumerate(one.result.predictions, 1):
            values = (prediction.index, prediction.name, prediction.probability)
            row |= {
                f"top{rank}_{name}": value for name, value in zip(TOP_COLUMNS, values, strict=True)
            }
        rows.append(row)
    return rows


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as CSV; a text that a spreadsheet would run as a formula gets the prefix `'`."""
    stream = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text

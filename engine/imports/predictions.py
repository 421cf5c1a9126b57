"""What an outside tool predicted: the best classes of each image, or a score for every class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import InvalidRequest
from engine.imports.tables import Columns, read_columns
from engine.scores import drop_background

TOP_NAMES = ("top5", "topk", "top", "predictions", "prediction", "predicted", "pred")
SCORE_NAMES = (
    *("probabilities", "probability", "probs", "logits", "scores", "score"),
    *("outputs", "output", "output_0", "predictions"),
)
TOP_PROBABILITY_NAMES = ("top5_probability", "topk_probability", "top_probability", "confidence")
LABEL_NAMES = ("label", "labels", "target", "targets", "truth")
IMAGE_NAMES = ("image", "images", "file", "files", "filename", "name", "names", "path")


@dataclass(frozen=True, slots=True)
class Predictions:
    """`top` (n, k) class indices, best first, or `scores` (n, classes); one of the two is None.

    `top_probability` goes with `top`. `label` and `name` are what the file itself says of each
    image, None where it does not.
    """

    top: np.ndarray | None
    top_probability: np.ndarray | None
    scores: np.ndarray | None
    probabilities: bool
    label: np.ndarray | None
    name: np.ndarray | None

    def __len__(self) -> int:
        values = self.top if self.top is not None else self.scores
        return 0 if values is None else len(values)

    def classes(self) -> int | None:
        """How many classes there are, where every one has a score."""
        return None if self.scores is None else self.scores.shape[1]

    def rows(self, order: np.ndarray) -> Predictions:
        """The same predictions with the rows in another order."""

        def pick(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[order]

        return Predictions(
            pick(self.top),
            pick(self.top_probability),
            pick(self.scores),
            self.probabilities,
            pick(self.label),
            pick(self.name),
        )


def read_predictions(path: Path, background: int | None = None) -> Predictions:
    """Reads the file; `background` is an output that is no class, taken off.

    Whole numbers are class indices, best first; fractions are scores, one a class.
    Raises InvalidRequest with what the file must hold.
    """
    columns = read_columns(path)
    label, name = _first(columns, LABEL_NAMES), _first(columns, IMAGE_NAMES)
    if label is not None:
        label = _whole_labels(path, label)
    names = None if name is None else np.asarray([Path(str(n)).name for n in name])
    top = _top(path, columns)
    if top is not None:
        top = _without_background(path, top, background)
        confidence = _first(columns, TOP_PROBABILITY_NAMES)
        confidence = None if confidence is None else confidence.reshape(len(top), -1)
        if confidence is not None and confidence.shape != top.shape:
            raise InvalidRequest(
                f"{path.name} has {top.shape[1]} best classes an image, but "
                f"{confidence.shape[1]} probabilities."
            )
        return Predictions(top, confidence, None, True, label, names)
    scores = drop_background(_scores(path, columns), background)
    return Predictions(None, None, scores, _are_probabilities(scores), label, names)


def _first(columns: Columns, names: tuple[str, ...]) -> np.ndarray | None:
    return next((columns[name] for name in names if name in columns), None)


def _top(path: Path, columns: Columns) -> np.ndarray | None:
    found = next(
        (columns[n] for n in TOP_NAMES if n in columns and columns[n].dtype.kind in "iu"), None
    )
    if found is None:
        return None
    top = found.reshape(len(found), -1).astype(np.int64)
    ordered = np.sort(top, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        row = int(np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))[0])
        raise InvalidRequest(
            f"{path.name}, row {row}: one class stands twice among the best {top.shape[1]}."
        )
    return top


def _without_background(path: Path, top: np.ndarray, background: int | None) -> np.ndarray:
    if background is None:
        return top
    if (top == background).any():
        raise InvalidRequest(
            f"{path.name} predicts the background class {background} itself; give all scores, so "
            f"that it can be taken off."
        )
    return np.where(top > background, top - 1, top)


def _scores(path: Path, columns: Columns) -> np.ndarray:
    found = next(
        (columns[n] for n in SCORE_NAMES if n in columns and columns[n].dtype.kind == "f"), None
    )
    if found is None or found.reshape(len(found), -1).shape[1] < 2:
        raise InvalidRequest(
            f"{path.name} holds no predictions, only {', '.join(columns)}. Name a column `top5` "
            f"(class indices, best first; in a CSV top1 to top5) or `scores` (one a class)."
        )
    scores = found.reshape(len(found), -1).astype(np.float32)
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])
        raise InvalidRequest(f"{path.name}, row {row}: a score is not a finite number.")
    return scores


def _are_probabilities(scores: np.ndarray) -> bool:
    within = scores.min() >= 0 and scores.max() <= 1 + 1e-3
    return bool(within and np.allclose(scores.sum(axis=1), 1, atol=2e-2))


def _whole_labels(path: Path, label: np.ndarray) -> np.ndarray:
    values = label.reshape(len(label), -1)[:, 0]
    if values.dtype.kind not in "iuf" or not np.array_equal(values, np.floor(values)):
        raise InvalidRequest(
            f"{path.name}: labels must be class indices (whole numbers), not {values[0]!r}."
        )
    return values.astype(np.int64)

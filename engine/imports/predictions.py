"""Reads predictions of other tools: the top classes of each image, or a score per class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.common.scores import drop_background
from engine.common.untrusted import MAX_CLASSES, MAX_INTEGER
from engine.errors import InvalidRequest
from engine.evaluation.per_image import NO_LABEL
from engine.imports.tables import (
    MAX_NAMES_SHOWN,
    Columns,
    header_of,
    parse_number_list,
    read_columns,
    row_location,
)
from engine.text import cut, quoted, unprintable

TOP_NAMES = ("top5", "topk", "top", "predictions", "prediction", "predicted", "pred")
SCORE_NAMES = (
    *("probabilities", "probability", "probs", "prob", "logits", "logit", "scores", "score"),
    *("outputs", "output", "output_0", "predictions", "prediction", "predicted", "pred"),
)
# In the files of timm's inference.py the top classes; in other files often the row number.
INDEX_NAME = "index"
TOP_PROBABILITY_NAMES = (
    *("top5_probability", "topk_probability", "top_probability", "confidence", "prob"),
)
LABEL_NAMES = ("label", "labels", "target", "targets", "truth")
# In the files of timm's inference.py the names of the predicted classes.
PREDICTED_NAMES = ("label", "labels")
IMAGE_NAMES = ("image", "images", "file", "files", "filename", "name", "names", "path")
# From this size on, scores that fall in every row are top scores, not one score per class.
MIN_SORTED_ROWS, MIN_SORTED_SCORES = 5, 3
# A longer list is not taken as a list of top classes.
MAX_TOP_CLASSES = 20


@dataclass(frozen=True, slots=True)
class Predictions:
    """`top` (n, k) class indices, best first, or `scores` (n, classes); one of them is None.

    `top_probability` belongs to `top`. `label` and `name` are the label and the file name of each
    image in the file itself; None if it has none.
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
        """The number of classes, if there is a score for each; else None."""
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
    """Reads the file; `background` is the index of a background class, which is removed.

    Integers are class indices, best first. Fractions are scores, one per class, and so are numbers
    of any kind in a column with a name of scores. The CSV and Parquet files of timm's inference.py
    are accepted. Raises InvalidRequest with the expected contents, or with the location and content
    of an invalid cell.
    """
    columns = read_columns(path)
    top = _top_classes(path, columns)
    label, name = _label(path, columns, top), _image_names(path, columns)
    if top is not None:
        top = _without_background(path, top, background)
        return Predictions(top, _top_probability(path, columns, top), None, True, label, name)
    scores = drop_background(_scores(path, columns), background)
    return Predictions(None, None, scores, _are_probabilities(scores), label, name)


def _find_column(columns: Columns, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in columns), None)


def _image_names(path: Path, columns: Columns) -> np.ndarray | None:
    column = _find_column(columns, IMAGE_NAMES)
    if column is None:
        return None
    names = columns[column]
    if names.dtype.kind == "U" and (names == "").any():
        row = int(np.flatnonzero(names == "")[0])
        raise _cell_error(path, column, (row,), "", "a name")
    file_names = [Path(str(name)).name for name in names.tolist()]
    for row, name in enumerate(file_names):
        if (character := unprintable(name)) is not None:
            raise InvalidRequest(
                f"{path.name}, {row_location(path, row)}: the image {quoted(name)} holds "
                f"{character}, which cannot be printed."
            )
    return np.asarray(file_names)


def _label(path: Path, columns: Columns, top: np.ndarray | None) -> np.ndarray | None:
    """The labels of the images; names of predicted classes, as timm writes them, are no labels."""
    column = _find_column(columns, LABEL_NAMES)
    if column is None:
        return None
    if _is_text(columns[column]) and column in PREDICTED_NAMES:
        if INDEX_NAME in columns and top is not None:
            return None
        if _find_column(columns, ("prob", "logit")) is not None and top is None:
            shown = str(columns[column].ravel()[0])[:40]
            raise InvalidRequest(
                f"{path.name} has the names of the predicted classes ({shown!r}) and gives no "
                f"class indices: write it with option --include-index of timm's inference.py."
            )
    labels = _integers(path, column, columns[column]).reshape(len(columns[column]), -1)[:, 0]
    beyond = np.flatnonzero((labels < NO_LABEL) | (labels >= MAX_CLASSES))
    if beyond.size:
        row = int(beyond[0])
        raise _cell_error(path, column, (row,), str(labels[row]), "the index of a class")
    return labels


def _is_text(values: np.ndarray) -> bool:
    """Whether no cell is a number, so that the column holds names."""
    return values.dtype.kind == "U" and all(_number(cell) is None for cell in values.ravel())


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _numbers(path: Path, column: str, values: np.ndarray) -> np.ndarray:
    """float64 of the same shape; InvalidRequest with the first cell that is not a number."""
    if values.dtype.kind in "iufb":
        numbers = values.astype(np.float64)
    elif values.dtype.kind == "U":
        numbers = _read_cells(values)
    else:
        raise InvalidRequest(f"{path.name}: {column} holds {values.dtype}, not numbers.")
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        place = tuple(int(axis) for axis in wrong[0])
        # pandas reads an empty cell among numbers as NaN.
        empty = np.isnan(numbers[place]) and _is_csv_number(path, values)
        raise _cell_error(
            path, column, place, "" if empty else str(values[place]), "a finite number"
        )
    return numbers


def _read_cells(values: np.ndarray) -> np.ndarray:
    """Parses cells of text; NaN for a cell that is neither a number nor a list like the first."""
    first = _cell_list(values.ravel()[0])

    def read(cell: str) -> float:
        if first is not None:
            values_of_cell = _cell_list(cell)
            same_length = values_of_cell is not None and len(values_of_cell) == len(first)
            return 0.0 if same_length else np.nan
        number = _number(cell)
        return np.nan if number is None else number

    return np.asarray([read(str(cell)) for cell in values.ravel()]).reshape(values.shape)


def _cell_list(cell: str) -> list[float] | None:
    return parse_number_list(cell) if cell.startswith("[") else None


def _cell_error(
    path: Path, column: str, place: tuple[int, ...], cell: str, expected: str
) -> InvalidRequest:
    """The error of an invalid cell, with its line, column, content and the expected content."""
    where, header = row_location(path, place[0]), header_of(path, column, place[1:])
    if not cell:
        return InvalidRequest(f"{path.name}, {where}: the cell of {header} is empty.")
    shown = " ".join(cell.split())[:40]
    return InvalidRequest(f"{path.name}, {where}: {header} is {shown!r}, not {expected}.")


def _is_csv_number(path: Path, values: np.ndarray) -> bool:
    return path.suffix.lower() == ".csv" and values.dtype.kind != "U"


def _integers(path: Path, column: str, values: np.ndarray) -> np.ndarray:
    """int64 of the same shape, from integers of any type, such as 65.0."""
    numbers = _numbers(path, column, values)
    wrong = np.argwhere(numbers != np.floor(numbers))
    if len(wrong):
        place = tuple(int(axis) for axis in wrong[0])
        raise _cell_error(
            path, column, place, f"{numbers[place]:g}", "a whole number, as a class index is"
        )
    beyond = np.argwhere(np.abs(numbers) > MAX_INTEGER)
    if len(beyond):
        place = tuple(int(axis) for axis in beyond[0])
        raise _cell_error(path, column, place, f"{numbers[place]:g}", "the index of a class")
    return numbers.astype(np.int64)


def _top_classes(path: Path, columns: Columns) -> np.ndarray | None:
    """The top classes of each image; None if the file holds scores."""
    column = _find_column(columns, TOP_NAMES)
    if column is None and INDEX_NAME in columns and _index_is_class(columns):
        column = INDEX_NAME
    if column is None or (column in SCORE_NAMES and _holds_scores(columns[column])):
        return None
    indices = _integers(path, column, columns[column])
    top = indices.reshape(len(indices), -1)
    if _has_duplicates(top):
        ordered = np.sort(top, axis=1)
        row = int(np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))[0])
        raise InvalidRequest(
            f"{path.name}, {row_location(path, row)}: a class is listed twice in the top "
            f"{top.shape[1]}; if these are scores, one per class, name the column `scores` (in a "
            f"CSV score_0, score_1, ...)."
        )
    return top


def _index_is_class(columns: Columns) -> bool:
    """Whether `index` holds classes: there are no scores, or as many probabilities."""
    scores = _find_column(columns, SCORE_NAMES)
    return scores is None or columns[scores].size == columns[INDEX_NAME].size


def _holds_scores(values: np.ndarray) -> bool:
    """Whether a column of an ambiguous name holds scores: fractions, or many equal numbers."""
    if values.dtype.kind not in "iuf":
        return False
    rows = values.reshape(len(values), -1)
    finite = rows[np.isfinite(rows)]
    if rows.shape[1] < 2:
        return False
    if not finite.size or (finite != np.floor(finite)).any() or (finite < 0).any():
        return True
    # A list of top classes is short and has no duplicates; quantized scores repeat.
    return rows.shape[1] > MAX_TOP_CLASSES and _has_duplicates(rows)


def _has_duplicates(rows: np.ndarray) -> bool:
    ordered = np.sort(rows, axis=1)
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())


def _top_probability(path: Path, columns: Columns, top: np.ndarray) -> np.ndarray | None:
    column = _find_column(columns, TOP_PROBABILITY_NAMES)
    if column is None:
        return None
    confidence = _numbers(path, column, columns[column]).reshape(len(top), -1)
    if confidence.shape != top.shape:
        raise InvalidRequest(
            f"{path.name} has {top.shape[1]} top classes per image, but "
            f"{confidence.shape[1]} probabilities."
        )
    return confidence


def _without_background(path: Path, top: np.ndarray, background: int | None) -> np.ndarray:
    if background is None:
        return top
    if (top == background).any():
        raise InvalidRequest(
            f"{path.name} predicts the background class {background} itself; give the scores "
            f"of all classes, so that it can be removed."
        )
    return np.where(top > background, top - 1, top)


def _scores(path: Path, columns: Columns) -> np.ndarray:
    column = _find_column(columns, SCORE_NAMES)
    if column is None or columns[column].size < 2 * len(columns[column]):
        header = "" if not _names_are_data(columns) else " Its first line must name the columns."
        raise InvalidRequest(
            f"{path.name} has no predictions, only {_list_names(columns)}.{header} Name a column "
            f"`top5` (class indices, best first; in a CSV top1 to top5) or `scores` (one for each "
            f"class)."
        )
    values = columns[column].reshape(len(columns[column]), -1)
    if values.dtype.kind == "f" and not _is_csv_number(path, values):
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32)).all(axis=1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise InvalidRequest(
                f"{path.name}, {row_location(path, row)}: a score is not a finite number."
            )
    scores = _numbers(path, column, values).astype(np.float32)
    falling = bool((scores[:, 1:] <= scores[:, :-1]).all())
    if falling and scores.shape[0] >= MIN_SORTED_ROWS and scores.shape[1] >= MIN_SORTED_SCORES:
        raise InvalidRequest(
            f"{path.name}: the scores of every row fall from the first to the last, so they are "
            f"top scores and not one per class: add the class indices (timm's inference.py: "
            f"--include-index)."
        )
    return scores


def _names_are_data(columns: Columns) -> bool:
    """Whether the column names are numbers or file names, so that the header is missing."""
    return any(_number(name) is not None or Path(name).suffix for name in columns)


def _list_names(columns: Columns) -> str:
    names = [cut(name, 40) for name in list(columns)[:MAX_NAMES_SHOWN]]
    more = f" and {len(columns) - MAX_NAMES_SHOWN:,} more" if len(columns) > MAX_NAMES_SHOWN else ""
    return ", ".join(names) + more


def _are_probabilities(scores: np.ndarray) -> bool:
    within = scores.min() >= 0 and scores.max() <= 1 + 1e-3
    return bool(within and np.allclose(scores.sum(axis=1), 1, atol=2e-2))

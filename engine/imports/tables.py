"""Reads a file of columns: npz, npy, CSV or Parquet. Nothing in it is ever executed."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from engine.common.arrays import ArraysInvalid, read_npy, read_npz
from engine.common.files import is_file
from engine.datasets.text_files import detect_encoding
from engine.errors import InvalidRequest
from engine.text import cut

MAX_BYTES = 4_000_000_000
MOST_COLUMNS, MOST_LETTERS = 100_000, 1_000
MOST_LINE = 10_000_000
SHOWN = 5  # names of columns in a sentence
Columns = dict[str, np.ndarray]


def read_columns(path: Path) -> Columns:
    """The arrays of a file by name, each with one row an image.

    A bare .npy array is called `predictions`. Raises InvalidRequest: no such file, another
    kind of file, unreadable, pickled objects, columns of different lengths.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidRequest(
            f"{path.name} is of no kind that can be imported: give {', '.join(_READERS)}."
        )
    if not is_file(path):
        raise InvalidRequest(f"There is no file {path}.")
    if path.stat().st_size > MAX_BYTES:
        raise InvalidRequest(
            f"{path.name} is larger than {MAX_BYTES / 1e9:.0f} GB; give the best classes (top-5) "
            f"instead of all scores."
        )
    try:
        columns = reader(path)
    except InvalidRequest:
        raise
    except ArraysInvalid as error:
        raise InvalidRequest(f"{path.name} cannot be read as {path.suffix}: it {error}.") from error
    except Exception as error:  # what is damaged, or beyond this machine, shows as anything
        raise InvalidRequest(
            f"{path.name} cannot be read as {path.suffix}: {_reason(error)}."
        ) from error
    lengths = {name: len(c) if c.ndim and c.size else 0 for name, c in columns.items()}
    if len(set(lengths.values())) != 1 or not next(iter(lengths.values()), 0):
        told = ", ".join(f"{cut(name, 40)} {n:,}" for name, n in list(lengths.items())[:SHOWN])
        told = told or "nothing"
        raise InvalidRequest(f"{path.name} must hold columns of one length, and holds: {told}.")
    return columns


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "this machine has not the memory that it asks for"
    return cut((str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__)


def _npz(path: Path) -> Columns:
    return {name.lower(): array for name, array in read_npz(path, MAX_BYTES).items()}


def _npy(path: Path) -> Columns:
    return {"predictions": read_npy(path, MAX_BYTES)}


def _parting(path: Path) -> dict[str, str]:
    """How columns are parted where that is not by commas, the decimal sign then, the encoding."""
    encoding = _encoding(path)
    with path.open(encoding=encoding, errors="replace") as stream:
        heading, first = stream.readline(MOST_LINE), stream.readline(MOST_LINE)
    sign = next((sign for sign in ";\t" if sign in heading and "," not in heading), ",")
    decimal = "," if sign != "," and "," in first else "."
    return {"sep": sign, "decimal": decimal, "encoding": encoding}


def _encoding(path: Path) -> str:
    with path.open("rb") as stream:
        return detect_encoding(stream.read(4))


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file. Raises InvalidRequest where it is none."""
    try:
        return pd.read_csv(path, **_parting(path))
    except (OSError, ValueError, OverflowError, MemoryError, csv.Error) as error:
        raise InvalidRequest(f"{path.name} cannot be read as CSV: {_reason(error)}.") from error


def place_of(path: Path, row: int) -> str:
    """Where a row stands, for people: its line in a CSV file, counted from 1, else its row from 0.

    A quoted cell may hold several lines, and empty lines are no rows.
    """
    if path.suffix.lower() != ".csv":
        return f"row {row}"
    with path.open(newline="", encoding=_encoding(path), errors="replace") as stream:
        reader = csv.reader(stream)
        begins = 1
        rows = -1  # the header
        for cells in reader:
            if cells and rows == row:
                return f"line {begins}"
            rows += bool(cells)
            begins = reader.line_num + 1
    return f"row {row}"


def header_of(path: Path, name: str, place: tuple[int, ...]) -> str:
    """What a column is called in the file itself: `top2` for the second of those read as `top`."""
    if path.suffix.lower() != ".csv" or not place:
        return name
    numbered = _numbered(pd.read_csv(path, nrows=0, **_parting(path))).get(name, [])
    return numbered[place[0]] if place[0] < len(numbered) else name


def _csv(path: Path) -> Columns:
    return _of_frame(read_csv(path))


def _parquet(path: Path) -> Columns:
    from pyarrow import parquet

    about = parquet.read_metadata(path)
    if about.num_columns > MOST_COLUMNS or 8 * about.num_rows * about.num_columns > MAX_BYTES:
        raise InvalidRequest(
            f"{path.name} says that it has {about.num_rows:,} rows of {about.num_columns:,} "
            f"columns, which is more than is read; give the best classes (top-5) alone."
        )
    return _of_frame(pd.read_parquet(path))


def _of_frame(frame: pd.DataFrame) -> Columns:
    """Numbered columns (top1, top2, … or score_0, score_1, …) become one array each."""
    if frame.empty:
        raise InvalidRequest("The file has names of columns, and no rows.")
    numbered = _numbered(frame)
    single = set(map(str, frame.columns)) - {name for names in numbered.values() for name in names}
    columns: Columns = {
        str(name).strip().lower(): _values(frame[name]) for name in frame if str(name) in single
    }
    for stem, names in numbered.items():
        columns[stem] = np.stack([_values(frame[name]) for name in names], axis=1)
    return columns


def _numbered(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The columns that differ in their number only, by what they share, in the order of it."""
    places: dict[str, list[tuple[int, str]]] = {}
    for name in map(str, frame.columns):
        stem = name.rstrip("0123456789")
        if stem != name and stem:
            places.setdefault(stem.rstrip("_").lower(), []).append((int(name[len(stem) :]), name))
    return {stem: [name for _, name in sorted(found)] for stem, found in places.items()}


def _values(column: pd.Series) -> np.ndarray:
    """Numbers where all cells are numbers (or lists of them), else text; empty cells are ``."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    if column.map(lambda value: isinstance(value, list | np.ndarray)).all():
        stacked = np.stack([np.asarray(value) for value in column])
        return stacked.astype(str) if stacked.dtype.kind == "O" else stacked
    text = column.fillna("").astype(str)
    if text.str.startswith("[").all():
        lists = [list_of(cell) for cell in text]
        if all(values is not None and len(values) == len(lists[0] or ()) for values in lists):
            return np.asarray(lists)
    longest = int(text.str.len().max() or 0)
    if longest > MOST_LETTERS:  # each row of the array takes as much as the longest
        raise InvalidRequest(
            f"The column {cut(str(column.name), 40)!r} holds a text of {longest:,} letters; at "
            f"most {MOST_LETTERS:,} are read."
        )
    return text.to_numpy(dtype=np.str_)


def list_of(cell: str) -> list[float] | None:
    """The numbers of `[281 282 285]`, as numpy and Python print them; None for other text."""
    words = cell.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


_READERS: dict[str, Callable[[Path], Columns]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".csv": _csv,
    ".parquet": _parquet,
}

"""Reads a file of columns: npz, npy, CSV or Parquet. No code in a file is ever executed."""

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
MAX_COLUMNS, MAX_TEXT_LENGTH = 100_000, 1_000
MAX_LINE_LENGTH = 10_000_000
MAX_NAMES_SHOWN = 5  # names of columns in a message
Columns = dict[str, np.ndarray]


def read_columns(path: Path) -> Columns:
    """The arrays of a file by name, each with one row per image.

    The array of a .npy file is named `predictions`. Raises InvalidRequest for a missing file,
    another type of file, an unreadable file, pickled objects, and columns of different lengths.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidRequest(
            f"{path.name} has an unsupported file type; supported: {', '.join(_READERS)}."
        )
    if not is_file(path):
        raise InvalidRequest(f"There is no file {path}.")
    if path.stat().st_size > MAX_BYTES:
        raise InvalidRequest(
            f"{path.name} is larger than {MAX_BYTES / 1e9:.0f} GB; give the top-5 classes instead "
            f"of all scores."
        )
    try:
        columns = reader(path)
    except InvalidRequest:
        raise
    except ArraysInvalid as error:
        raise InvalidRequest(f"{path.name} cannot be read as {path.suffix}: it {error}.") from error
    except Exception as error:  # a damaged or too large file can raise any error
        raise InvalidRequest(
            f"{path.name} cannot be read as {path.suffix}: {_reason(error)}."
        ) from error
    lengths = {name: len(c) if c.ndim and c.size else 0 for name, c in columns.items()}
    if len(set(lengths.values())) != 1 or not next(iter(lengths.values()), 0):
        shown = ", ".join(
            f"{cut(name, 40)} {n:,}" for name, n in list(lengths.items())[:MAX_NAMES_SHOWN]
        )
        shown = shown or "nothing"
        raise InvalidRequest(
            f"{path.name} must hold columns of the same length, but holds: {shown}."
        )
    return columns


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than this machine has"
    return cut((str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__)


def _npz(path: Path) -> Columns:
    return {name.lower(): array for name, array in read_npz(path, MAX_BYTES).items()}


def _npy(path: Path) -> Columns:
    return {"predictions": read_npy(path, MAX_BYTES)}


def _csv_dialect(path: Path) -> dict[str, str]:
    """Separator, decimal sign and encoding of a CSV file, as arguments of pandas.read_csv."""
    encoding = _encoding(path)
    with path.open(encoding=encoding, errors="replace") as stream:
        heading, first = stream.readline(MAX_LINE_LENGTH), stream.readline(MAX_LINE_LENGTH)
    sign = next((sign for sign in ";\t" if sign in heading and "," not in heading), ",")
    decimal = "," if sign != "," and "," in first else "."
    return {"sep": sign, "decimal": decimal, "encoding": encoding}


def _encoding(path: Path) -> str:
    with path.open("rb") as stream:
        return detect_encoding(stream.read(4))


def read_csv(path: Path) -> pd.DataFrame:
    """Reads a CSV file. Raises InvalidRequest if it is not one."""
    try:
        return pd.read_csv(path, **_csv_dialect(path))
    except (OSError, ValueError, OverflowError, MemoryError, csv.Error) as error:
        raise InvalidRequest(f"{path.name} cannot be read as CSV: {_reason(error)}.") from error


def row_location(path: Path, row: int) -> str:
    """The location of a row for messages: its line in a CSV file (from 1), else its row (from 0).

    Quoted cells may span several lines, and empty lines are not counted as rows.
    """
    if path.suffix.lower() != ".csv":
        return f"row {row}"
    with path.open(newline="", encoding=_encoding(path), errors="replace") as stream:
        reader = csv.reader(stream)
        line = 1
        rows = -1  # the header
        for cells in reader:
            if cells and rows == row:
                return f"line {line}"
            rows += bool(cells)
            line = reader.line_num + 1
    return f"row {row}"


def header_of(path: Path, name: str, place: tuple[int, ...]) -> str:
    """The column's name in the file itself, such as `top2` for the second column read as `top`."""
    if path.suffix.lower() != ".csv" or not place:
        return name
    numbered = _numbered_columns(pd.read_csv(path, nrows=0, **_csv_dialect(path))).get(name, [])
    return numbered[place[0]] if place[0] < len(numbered) else name


def _csv(path: Path) -> Columns:
    return _frame_columns(read_csv(path))


def _parquet(path: Path) -> Columns:
    from pyarrow import parquet

    metadata = parquet.read_metadata(path)
    if (
        metadata.num_columns > MAX_COLUMNS
        or 8 * metadata.num_rows * metadata.num_columns > MAX_BYTES
    ):
        raise InvalidRequest(
            f"{path.name} has {metadata.num_rows:,} rows of {metadata.num_columns:,} columns, "
            f"which is too large; give the top-5 classes only."
        )
    return _frame_columns(pd.read_parquet(path))


def _frame_columns(frame: pd.DataFrame) -> Columns:
    """The columns as arrays; numbered columns (top1, top2, … or score_0, …) are joined to one."""
    if frame.empty:
        raise InvalidRequest("The file has names of columns, and no rows.")
    numbered = _numbered_columns(frame)
    single = set(map(str, frame.columns)) - {name for names in numbered.values() for name in names}
    columns: Columns = {
        str(name).strip().lower(): _column_values(frame[name])
        for name in frame
        if str(name) in single
    }
    for stem, names in numbered.items():
        columns[stem] = np.stack([_column_values(frame[name]) for name in names], axis=1)
    return columns


def _numbered_columns(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Numbered columns by their common name, in the order of their numbers."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for name in map(str, frame.columns):
        stem = name.rstrip("0123456789")
        if stem != name and stem:
            groups.setdefault(stem.rstrip("_").lower(), []).append((int(name[len(stem) :]), name))
    return {stem: [name for _, name in sorted(members)] for stem, members in groups.items()}


def _column_values(column: pd.Series) -> np.ndarray:
    """Numbers if all cells are numbers or lists of them, else text; an empty cell is ''."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    if column.map(lambda value: isinstance(value, list | np.ndarray)).all():
        stacked = np.stack([np.asarray(value) for value in column])
        return stacked.astype(str) if stacked.dtype.kind == "O" else stacked
    text = column.fillna("").astype(str)
    if text.str.startswith("[").all():
        lists = [parse_number_list(cell) for cell in text]
        if all(values is not None and len(values) == len(lists[0] or ()) for values in lists):
            return np.asarray(lists)
    longest = int(text.str.len().max() or 0)
    if longest > MAX_TEXT_LENGTH:  # each row of the array uses the memory of the longest
        raise InvalidRequest(
            f"The column {cut(str(column.name), 40)!r} holds a text of {longest:,} characters; "
            f"the limit is {MAX_TEXT_LENGTH:,}."
        )
    return text.to_numpy(dtype=np.str_)


def parse_number_list(cell: str) -> list[float] | None:
    """The numbers of `[281 282 285]`, as printed by numpy or Python; None for other text."""
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

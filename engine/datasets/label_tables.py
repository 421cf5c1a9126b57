"""Parses a label file into (image name, label) pairs as written, and detects their columns.

Columns are separated by tabs, commas, semicolons, bars or spaces. They are identified by the
header or by their content; `--label-columns` names them if neither is clear.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.datasets.folders import suffix_of, suffixes
from engine.datasets.imagenet import wnid_to_index
from engine.datasets.numbering import PAGE_HINT
from engine.datasets.text_files import parse_json_text, read_text
from engine.errors import DatasetInvalid
from engine.text import quoted

EXPECTED = "'<file> <class index>'"
_MAX_SHOWN = 60
_DELIMITERS = ("\t", ",", ";", "|")
_BREAKS = re.compile(r"[\s,;|]+")
_WHOLE = re.compile(r"\+?(\d{1,18})(?:\.0+|,0)?")
_NUMBER = re.compile(r"[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?")
_WNID = re.compile(r"n\d{8}")
_NAME_COLUMNS = (
    *("filename", "filepath", "file", "files", "fname", "imagepath", "imagefile", "imagename"),
    *("imgpath", "imgname", "path", "paths", "image", "images", "img", "imageid", "imgid"),
    *("photo", "picture", "name", "names", "id", "key"),
)
_LABEL_COLUMNS = (
    *("classindex", "classidx", "classid", "classnumber", "labelindex", "labelidx", "labelid"),
    *("target", "targets", "targetid", "label", "labels", "class", "classes", "category"),
    *("categoryid", "truth", "groundtruth", "gt", "y", "wnid", "synset", "synsetid"),
    *("predictionstring", "classname", "labelname", "categoryname"),
)
_FALLBACK_LABEL_COLUMNS = ("index", "idx")


@dataclass(frozen=True, slots=True)
class Line:
    """One image of a label file: its name and its label, as written; `number` is from 1."""

    number: int
    name: str
    label: str


@dataclass(frozen=True, slots=True)
class LabelTable:
    """All lines; `note` names the columns that were read, if there were more than two.

    `in_order`: a list of wnids without image names (these are empty); line n is of image n.
    """

    path: Path
    lines: tuple[Line, ...]
    in_order: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Columns:
    name: int
    label: int
    has_header: bool
    note: str | None = None


def is_numeric(text: str) -> bool:
    """Whether a text consists of numbers only, and so is no class name."""
    return all(map(_NUMBER.fullmatch, text.split()))


def parse_class_index(text: str) -> int | None:
    """Parses a class index, also written as `65.0` or `65,0`; None for other text."""
    match = _WHOLE.fullmatch(text)
    return int(match[1]) if match else None


def wnid_of(text: str) -> str | None:
    """The wnid of a cell, which may be followed by boxes: `n01751748 111 108 431 202`."""
    tokens = text.split()
    wnids = {token for token in tokens if _WNID.fullmatch(token)}
    rest = [token for token in tokens if token not in wnids]
    is_wnid = len(wnids) == 1 and tokens[0] in wnids and all(map(_NUMBER.fullmatch, rest))
    return wnids.pop() if is_wnid else None


def read_label_table(path: Path, columns: tuple[str, str] | None = None) -> LabelTable:
    """Reads a label file; `columns` are the headers, or the numbers from 1, of name and label.

    Raises DatasetInvalid naming the unexpected line, or the option that resolves an ambiguity.
    """
    text = read_text(path, "The label file")
    if text.lstrip()[:1] in ("{", "["):
        return _table_from(path, [_json_rows(path, text)], columns)
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    lines = _without_comments(lines)
    if not lines:
        raise DatasetInvalid(f"The label file {path} is empty.")
    if columns is None:
        wnid_list = _single_column(path, [line.strip().strip("\"'") for _, line in lines])
        if wnid_list is not None:
            return wnid_list
    splits = [_split(lines, delimiter) for delimiter in _DELIMITERS]
    tables = [rows for rows in splits if rows is not None]
    if columns is not None:
        return _table_from(path, [*tables, [_Row(n, tuple(t.split())) for n, t in lines]], columns)
    return _table_from(path, [*tables, _space_separated_rows(path, lines, not tables)], None)


def _without_comments(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Removes lines `# ...`, except image lines and headers with the delimiter of the last line."""
    delimiters = [delimiter for delimiter in _DELIMITERS if lines and delimiter in lines[-1][1]]

    def is_comment(line: str) -> bool:
        return line.lstrip().startswith("#") and not (
            any(delimiter in line for delimiter in delimiters)
            or any(suffix_of(cell) in suffixes() for cell in _BREAKS.split(line))
        )

    return [(number, line) for number, line in lines if not is_comment(line)]


def contains_labels(path: Path) -> bool:
    """Whether a text file is a label file rather than a class list."""
    text = read_text(path, "The label file")
    if text.lstrip()[:1] in ("{", "["):
        return True
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if all(parse_class_index(line) is not None for line in lines):
        return [parse_class_index(line) for line in lines] != list(range(len(lines)))
    if all(_WNID.fullmatch(line) for line in lines):
        return lines != sorted(set(lines))
    same_word = len(lines) > 1 and len({_BREAKS.split(line, maxsplit=1)[0] for line in lines}) == 1
    return _gives_classes(lines[-1]) and not same_word


def _gives_classes(line: str) -> bool:
    _, *rest = (cell.strip("\"'") for cell in _BREAKS.split(line) if cell)
    return bool(rest) and (
        parse_class_index(rest[-1]) is not None
        or any(_WNID.fullmatch(cell) for cell in rest)
        or any(suffix_of(cell) in suffixes() for cell in _BREAKS.split(line))
    )


def _single_column(path: Path, lines: list[str]) -> LabelTable | None:
    """A list of wnids without names; None if the file has more than one column."""
    if all(parse_class_index(line) is not None for line in lines):
        raise DatasetInvalid(
            f"{path.name} contains {len(lines):,} numbers and no image names. If these are the ids "
            f"of ILSVRC2012_validation_ground_truth.txt, their class order (of the development "
            f"kit, from 1) differs from that of the models (by wnid, from 0): give a file with "
            f"lines {EXPECTED}, LOC_val_solution.csv, or a list of wnids."
        )
    if not all(_WNID.fullmatch(line) for line in lines):
        return None
    numbered = enumerate(lines, 1)
    return LabelTable(path, tuple(Line(n, "", wnid) for n, wnid in numbered), in_order=True)


def _split(lines: Sequence[tuple[int, str]], delimiter: str) -> list[_Row] | None:
    """The rows by a delimiter that most lines contain; None if it does not separate columns."""
    if sum(delimiter in line for _, line in lines) < max(1, len(lines) / 2):
        return None
    rows = csv.reader((line for _, line in lines), delimiter=delimiter, skipinitialspace=True)
    try:
        cells = [tuple(cell.strip().strip("'").strip() for cell in row) for row in rows]
    except csv.Error:
        return None
    if len(cells) != len(lines):
        return None
    return [_Row(n, row) for (n, _), row in zip(lines, cells, strict=True)]


def _space_separated_rows(path: Path, lines: Sequence[tuple[int, str]], strict: bool) -> list[_Row]:
    """Name and label of space-separated lines; names may contain spaces.

    With `strict`, a line without two parts raises DatasetInvalid; else the result is empty.
    """
    rows = []
    for number, line in lines:
        cells = _space_separated_cells(line.strip())
        if cells is None:
            if strict:
                raise _unexpected(path, number, line)
            return []
        rows.append(_Row(number, cells))
    return rows


def _space_separated_cells(line: str) -> tuple[str, str] | None:
    quoted = re.fullmatch(r"([\"'])(.+?)\1\s+(\S.*)", line)
    if quoted:
        return quoted[2], quoted[3].strip("\"'")
    endings = "|".join(re.escape(suffix) for suffix in sorted(suffixes(), key=len, reverse=True))
    separator = r"(?:\s*(?::|=>?|->)\s*|\s+)"
    name_first = re.fullmatch(rf"(.*(?:{endings})){separator}(\S.*)", line, re.IGNORECASE)
    if name_first:
        return name_first[1], _label_of(name_first[2])
    label, _, name = line.partition(" ")
    if suffix_of(name) in suffixes() and (parse_class_index(label) is not None or wnid_of(label)):
        return name.strip(), label
    if wnid_of(name):
        return label, name
    parts = line.rsplit(None, 1)
    return (parts[0], parts[1].strip("\"'")) if len(parts) == 2 else None


def _label_of(text: str) -> str:
    """`65` for `65 tench`; other text unchanged."""
    first, *rest = text.split()
    has_name = rest and not any(map(_NUMBER.fullmatch, rest))
    return first if has_name and _kind(first) != _NAME else text.strip("\"'")


def _json_rows(path: Path, text: str) -> list[_Row]:
    rows = _cells_of_json(_json(path, text))
    if not rows:
        raise DatasetInvalid(
            f'{path.name} is not a label file: as JSON, {{"a.png": 3, ...}} or a list of '
            f'{{"file": "a.png", "label": 3}} is expected.'
        )
    return [_Row(number, row) for number, row in enumerate(rows, 1)]


def _json(path: Path, text: str) -> Any:
    """One JSON document, or one per line (JSON Lines)."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(line[0] + line[-1] in ("{}", "[]") for line in lines):
        return [parse_json_text(path, line) for line in lines]
    return parse_json_text(path, text)


def _cells_of_json(data: Any) -> list[tuple[str, ...]]:
    if isinstance(data, dict) and len(data) == 1 and isinstance(data.get("labels"), list | dict):
        data = data["labels"]
    if isinstance(data, dict):
        items = list(data.items())
        return [(k, str(v)) for k, v in items] if all(map(_is_scalar, data.values())) else []
    if not data or not all(type(item) is type(data[0]) for item in data):
        return []
    if isinstance(data[0], dict):
        header = tuple(str(key) for key in data[0])
        body = [tuple(str(item.get(key, "")) for key in header) for item in data]
        return [header, *body]
    if isinstance(data[0], list):
        return [tuple(str(cell) for cell in item) for item in data]
    return []


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _table_from(
    path: Path, tables: Iterable[list[_Row]], requested: tuple[str, str] | None
) -> LabelTable:
    """The first of the tables (one for each delimiter) in which names and labels are found."""
    first_error: DatasetInvalid | None = None
    last: list[_Row] = []
    for rows in tables:
        if not rows:
            continue
        last = rows
        try:
            if requested:
                columns = _requested_columns(path, rows, requested)
            else:
                columns = _detect_columns(path, rows)
        except DatasetInvalid as error:
            first_error = first_error or error
            continue
        if columns is not None:
            return _lines(path, rows, columns)
    if first_error is not None:
        raise first_error
    raise _unexpected(path, last[0].number, " ".join(last[0].cells))


def _lines(path: Path, rows: list[_Row], columns: _Columns) -> LabelTable:
    lines = []
    for row in rows[columns.has_header :]:
        if len(row.cells) <= max(columns.name, columns.label):
            raise _unexpected(path, row.number, " ".join(row.cells))
        name, label = row.cells[columns.name], row.cells[columns.label]
        if not name or not label:
            missing = "class" if name else "image"
            raise DatasetInvalid(
                f"{path.name}, line {row.number}: there is no {missing} for {name or label!r}."
            )
        lines.append(Line(row.number, name, label))
    if not lines:
        raise DatasetInvalid(f"The label file {path} has a header but no lines.")
    return LabelTable(path, tuple(lines), note=columns.note)


def _unexpected(path: Path, number: int, text: str) -> DatasetInvalid:
    found = quoted(text.strip(), _MAX_SHOWN)
    return DatasetInvalid(f"{path.name}, line {number}: expected {EXPECTED}, found {found}.")


def _normalize(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _requested_columns(path: Path, rows: list[_Row], requested: tuple[str, str]) -> _Columns | None:
    """The columns of --label-columns. Raises DatasetInvalid if the rows do not have them."""
    header = [_normalize(cell) for cell in rows[0].cells]
    indices, by_name = [], False
    for word in requested:
        if _normalize(word) in header:
            indices.append(header.index(_normalize(word)))
            by_name = True
        elif word.isdecimal() and len(word) < 10 and 1 <= int(word) <= len(header):
            indices.append(int(word) - 1)
        else:
            raise DatasetInvalid(
                f"{path.name} has no column {word!r}; its columns are {', '.join(rows[0].cells)}."
            )
    name, label = indices
    if name == label:
        raise DatasetInvalid(
            f"Column {requested[0]!r} of {path.name} cannot contain both the image and the class; "
            f"its columns are {', '.join(rows[0].cells)}."
        )
    return _Columns(name, label, by_name or _is_header(rows, name, label))


def _is_header(rows: list[_Row], name: int, label: int) -> bool:
    """Whether the first line is a header: it has column names, or no label like the other lines."""
    first = rows[0].cells
    if len(first) <= max(name, label) or len(rows) < 2 or suffix_of(first[name]) in suffixes():
        return False
    if _normalize(first[name]) in _NAME_COLUMNS and _normalize(first[label]) in (
        *_LABEL_COLUMNS,
        *_FALLBACK_LABEL_COLUMNS,
    ):
        return True
    kinds = {_kind(row.cells[label]) for row in rows[1:] if len(row.cells) > label}
    return len(kinds) == 1 and kinds != {_NAME} and _kind(first[label]) == _NAME


_INDEX, _WNID_LABEL, _NAME = range(3)


def _kind(cell: str) -> int:
    if parse_class_index(cell) is not None:
        return _INDEX
    return _WNID_LABEL if wnid_of(cell) else _NAME


def _detect_columns(path: Path, rows: list[_Row]) -> _Columns | None:
    """Finds the columns of names and labels; None if these rows do not contain them.

    Raises DatasetInvalid if several columns could contain the labels.
    """
    width = Counter(len(row.cells) for row in rows).most_common(1)[0][0]
    if width < 2:
        return None
    header = [_normalize(cell) for cell in rows[0].cells]
    has_header = not any(suffix_of(cell) in suffixes() for cell in rows[0].cells)
    names = [header.index(word) for word in _NAME_COLUMNS if word in header] if has_header else []
    body = [row for row in rows[1:] if len(row.cells) == width] or rows[:1]
    labels = [c for c, word in enumerate(header) if word in _LABEL_COLUMNS] if has_header else []
    labels = labels or [
        c for c, word in enumerate(header) if has_header and word in _FALLBACK_LABEL_COLUMNS
    ]
    name = names[0] if names and (labels or len(rows) > 1) else _name_column(body, width)
    if name is None:
        return None
    others = [column for column in range(width) if column != name]
    labels = [column for column in labels if column in others and column < width]
    if labels:
        label = min(labels, key=lambda c: (_ambiguity(body, c), _LABEL_RANK(header[c])))
        pair = f"{rows[0].cells[name]!r} and {rows[0].cells[label]!r}"
        note = f"Columns {pair} of {path.name} are used." if width > 2 else None
        return _Columns(name, label, True, note)
    detected = _label_column(path, rows, body, others)
    if detected is None:
        return None
    note = f"Columns {name + 1} and {detected + 1} of {path.name} are used." if width > 2 else None
    first = rows[0].cells
    no_label = bool(names) and len(first) > detected and _kind(first[detected]) == _NAME
    return _Columns(name, detected, no_label or _is_header(rows, name, detected), note)


_LABEL_RANK: Callable[[str], int] = (*_LABEL_COLUMNS, *_FALLBACK_LABEL_COLUMNS).index


def _ambiguity(rows: list[_Row], column: int) -> int:
    """Rank of a label column, lower is better: wnids of ImageNet are unambiguous, indices less."""
    if all(wnid_of(row.cells[column]) in wnid_to_index() for row in rows):
        return -1
    return _kind_of_column(rows, column)


def _kind_of_column(rows: list[_Row], column: int) -> int:
    return max(_kind(row.cells[column]) for row in rows)


def _name_column(rows: list[_Row], width: int) -> int | None:
    """The column of image names: by file suffixes, else the one of two that has no labels."""
    for column in range(width):
        if all(suffix_of(row.cells[column]) in suffixes() for row in rows):
            return column
    if width != 2:
        return None
    kinds = [_kind_of_column(rows, column) for column in range(width)]
    if kinds[1] != _NAME:
        return 0
    return 1 if kinds[0] != _NAME else None


def _label_column(path: Path, rows: list[_Row], body: list[_Row], others: list[int]) -> int | None:
    if len(others) == 1:
        return others[0]
    kinds = {column: _kind_of_column(body, column) for column in others}
    for kind in (_WNID_LABEL, _INDEX):
        candidates = [column for column in others if kinds[column] == kind]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            break
    raise DatasetInvalid(
        f"{path.name} has {len(others) + 1} columns ({', '.join(rows[0].cells)}), and the class "
        f"column is not clear: give `--label-columns IMAGE,CLASS`, each by its header or its "
        f"number from 1{PAGE_HINT}."
    )

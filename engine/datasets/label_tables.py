"""From the text of a label file to pairs (name, class) as written: which columns hold them.

Tabs, commas, semicolons, bars or blanks part the columns; a heading names them, or what they hold
does; `--label-columns` says it where neither can.
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
from engine.datasets.numbering import ON_THE_PAGE
from engine.datasets.text_files import json_of, read_text
from engine.errors import DatasetInvalid
from engine.text import quoted

EXPECTED = "'<file> <class index>'"
_SHOWN = 60
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
_LAST_CHOICE = ("index", "idx")


@dataclass(frozen=True, slots=True)
class Line:
    """One image of a label file: its name and its class, as written there."""

    number: int
    name: str
    label: str


@dataclass(frozen=True, slots=True)
class LabelTable:
    """All lines, and a sentence on the columns that were taken where they were not certain.

    `in_order` is a list of wnids alone: line n is of image n, and names are empty.
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
    heading: bool
    note: str | None = None


def is_numeric(text: str) -> bool:
    """Whether a text is made of numbers alone, whole or not: no name of a class."""
    return all(map(_NUMBER.fullmatch, text.split()))


def whole_number(text: str) -> int | None:
    """A class index, also as `65.0` or `65,0`; None for other text."""
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else None


def wnid_of(text: str) -> str | None:
    """The wnid of a cell: alone, or first of `n01751748 111 108 431 202` with boxes behind it."""
    tokens = text.split()
    wnids = {token for token in tokens if _WNID.fullmatch(token)}
    rest = [token for token in tokens if token not in wnids]
    fits = len(wnids) == 1 and tokens[0] in wnids and all(map(_NUMBER.fullmatch, rest))
    return wnids.pop() if fits else None


def read_label_table(path: Path, columns: tuple[str, str] | None = None) -> LabelTable:
    """Reads a label file; `columns` are the headings, or the numbers from 1, of name and class.

    Raises DatasetInvalid with the line that is not as expected, or what must be said.
    """
    text = read_text(path, "The label file")
    if text.lstrip()[:1] in ("{", "["):
        return _of_rows(path, [_json_rows(path, text)], columns)
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    lines = _without_comments(lines)
    if not lines:
        raise DatasetInvalid(f"The label file {path} is empty.")
    if columns is None:
        alone = _one_a_line(path, [line.strip().strip("\"'") for _, line in lines])
        if alone is not None:
            return alone
    ways = [_split(lines, delimiter) for delimiter in _DELIMITERS]
    tables = [rows for rows in ways if rows is not None]
    if columns is not None:
        return _of_rows(path, [*tables, [_Row(n, tuple(t.split())) for n, t in lines]], columns)
    return _of_rows(path, [*tables, _blank_rows(path, lines, not tables)], None)


def _without_comments(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Leaves out lines `# ...` that are no image, and no heading parted as the last line is."""
    parted = [delimiter for delimiter in _DELIMITERS if lines and delimiter in lines[-1][1]]

    def is_comment(line: str) -> bool:
        return line.lstrip().startswith("#") and not (
            any(delimiter in line for delimiter in parted)
            or any(suffix_of(cell) in suffixes() for cell in _BREAKS.split(line))
        )

    return [(number, line) for number, line in lines if not is_comment(line)]


def looks_like_labels(path: Path) -> bool:
    """Whether a text file gives classes to images, rather than the names of classes, one a line."""
    text = read_text(path, "The label file")
    if text.lstrip()[:1] in ("{", "["):
        return True
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if all(whole_number(line) is not None for line in lines):
        return [whole_number(line) for line in lines] != list(range(len(lines)))
    if all(_WNID.fullmatch(line) for line in lines):
        return lines != sorted(set(lines))
    same_word = len(lines) > 1 and len({_BREAKS.split(line, maxsplit=1)[0] for line in lines}) == 1
    return _gives_classes(lines[-1]) and not same_word


def _gives_classes(line: str) -> bool:
    _, *rest = (cell.strip("\"'") for cell in _BREAKS.split(line) if cell)
    return bool(rest) and (
        whole_number(rest[-1]) is not None
        or any(_WNID.fullmatch(cell) for cell in rest)
        or any(suffix_of(cell) in suffixes() for cell in _BREAKS.split(line))
    )


def _one_a_line(path: Path, lines: list[str]) -> LabelTable | None:
    """A list of wnids alone; None where lines hold more than one thing."""
    if all(whole_number(line) is not None for line in lines):
        raise DatasetInvalid(
            f"{path.name} holds {len(lines):,} bare numbers and names no image. If these are the "
            f"ids of ILSVRC2012_validation_ground_truth.txt, they number the classes in another "
            f"order (of the development kit, from 1) than networks do (of the wnids, from 0): give "
            f"a file with lines {EXPECTED}, LOC_val_solution.csv, or a list of wnids."
        )
    if not all(_WNID.fullmatch(line) for line in lines):
        return None
    numbered = enumerate(lines, 1)
    return LabelTable(path, tuple(Line(n, "", wnid) for n, wnid in numbered), in_order=True)


def _split(lines: Sequence[tuple[int, str]], delimiter: str) -> list[_Row] | None:
    """Rows of a delimiter that most lines have; None where it is not what parts the columns."""
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


def _blank_rows(path: Path, lines: Sequence[tuple[int, str]], strict: bool) -> list[_Row]:
    """Name and class of lines parted by blanks; names may hold blanks themselves.

    With `strict`, a line that has no two parts raises DatasetInvalid.
    """
    rows = []
    for number, line in lines:
        cells = _blank_cells(line.strip())
        if cells is None:
            if strict:
                raise _unexpected(path, number, line)
            return []
        rows.append(_Row(number, cells))
    return rows


def _blank_cells(line: str) -> tuple[str, str] | None:
    quoted = re.fullmatch(r"([\"'])(.+?)\1\s+(\S.*)", line)
    if quoted:
        return quoted[2], quoted[3].strip("\"'")
    endings = "|".join(re.escape(suffix) for suffix in sorted(suffixes(), key=len, reverse=True))
    parting = r"(?:\s*(?::|=>?|->)\s*|\s+)"
    first = re.fullmatch(rf"(.*(?:{endings})){parting}(\S.*)", line, re.IGNORECASE)
    if first:
        return first[1], _class_of(first[2])
    label, _, name = line.partition(" ")
    if suffix_of(name) in suffixes() and (whole_number(label) is not None or wnid_of(label)):
        return name.strip(), label
    if wnid_of(name):
        return label, name
    parts = line.rsplit(None, 1)
    return (parts[0], parts[1].strip("\"'")) if len(parts) == 2 else None


def _class_of(text: str) -> str:
    """Of `65 tench` the 65; other text as it is."""
    first, *rest = text.split()
    says_more = rest and not any(map(_NUMBER.fullmatch, rest))
    return first if says_more and _kind(first) != _NAME else text.strip("\"'")


def _json_rows(path: Path, text: str) -> list[_Row]:
    rows = _cells_of_json(_json(path, text))
    if not rows:
        raise DatasetInvalid(
            f'{path.name} is no label file: as JSON, {{"a.png": 3, ...}} or a list of '
            f'{{"file": "a.png", "label": 3}} is expected.'
        )
    return [_Row(number, row) for number, row in enumerate(rows, 1)]


def _json(path: Path, text: str) -> Any:
    """One document, or one a line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(line[0] + line[-1] in ("{}", "[]") for line in lines):
        return [json_of(path, line) for line in lines]
    return json_of(path, text)


def _cells_of_json(data: Any) -> list[tuple[str, ...]]:
    if isinstance(data, dict) and len(data) == 1 and isinstance(data.get("labels"), list | dict):
        data = data["labels"]
    if isinstance(data, dict):
        items = list(data.items())
        return [(k, str(v)) for k, v in items] if all(map(_plain, data.values())) else []
    if not data or not all(type(one) is type(data[0]) for one in data):
        return []
    if isinstance(data[0], dict):
        heading = tuple(str(key) for key in data[0])
        body = [tuple(str(one.get(key, "")) for key in heading) for one in data]
        return [heading, *body]
    if isinstance(data[0], list):
        return [tuple(str(cell) for cell in one) for one in data]
    return []


def _plain(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _of_rows(path: Path, tables: Iterable[list[_Row]], asked: tuple[str, str] | None) -> LabelTable:
    """The first way to part the columns under which names and classes are found."""
    asking: DatasetInvalid | None = None
    last: list[_Row] = []
    for rows in tables:
        if not rows:
            continue
        last = rows
        try:
            columns = _named(path, rows, asked) if asked else _columns(path, rows)
        except DatasetInvalid as error:
            asking = asking or error
            continue
        if columns is not None:
            return _lines(path, rows, columns)
    if asking is not None:
        raise asking
    raise _unexpected(path, last[0].number, " ".join(last[0].cells))


def _lines(path: Path, rows: list[_Row], columns: _Columns) -> LabelTable:
    lines = []
    for row in rows[columns.heading :]:
        if len(row.cells) <= max(columns.name, columns.label):
            raise _unexpected(path, row.number, " ".join(row.cells))
        name, label = row.cells[columns.name], row.cells[columns.label]
        if not name or not label:
            lack = "class" if name else "image"
            raise DatasetInvalid(
                f"{path.name}, line {row.number}: there is no {lack} for {name or label!r}."
            )
        lines.append(Line(row.number, name, label))
    if not lines:
        raise DatasetInvalid(f"The label file {path} has a heading and no lines.")
    return LabelTable(path, tuple(lines), note=columns.note)


def _unexpected(path: Path, number: int, text: str) -> DatasetInvalid:
    return DatasetInvalid(
        f"{path.name}, line {number}: expected {EXPECTED}, found {quoted(text.strip(), _SHOWN)}."
    )


def _squashed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _named(path: Path, rows: list[_Row], asked: tuple[str, str]) -> _Columns | None:
    """The columns that were asked for; None where this way of parting does not have them."""
    heading = [_squashed(cell) for cell in rows[0].cells]
    places, by_name = [], False
    for word in asked:
        if _squashed(word) in heading:
            places.append(heading.index(_squashed(word)))
            by_name = True
        elif word.isdecimal() and len(word) < 10 and 1 <= int(word) <= len(heading):
            places.append(int(word) - 1)
        else:
            raise DatasetInvalid(
                f"{path.name} has no column {word!r}; its columns are {', '.join(rows[0].cells)}."
            )
    name, label = places
    if name == label:
        raise DatasetInvalid(
            f"Column {asked[0]!r} of {path.name} cannot hold both the image and the class; its "
            f"columns are {', '.join(rows[0].cells)}."
        )
    return _Columns(name, label, by_name or _is_heading(rows, name, label))


def _is_heading(rows: list[_Row], name: int, label: int) -> bool:
    """Whether the first line is no image: it heads columns, or has no class like the rest."""
    first = rows[0].cells
    if len(first) <= max(name, label) or len(rows) < 2 or suffix_of(first[name]) in suffixes():
        return False
    if _squashed(first[name]) in _NAME_COLUMNS and _squashed(first[label]) in (
        *_LABEL_COLUMNS,
        *_LAST_CHOICE,
    ):
        return True
    kinds = {_kind(row.cells[label]) for row in rows[1:] if len(row.cells) > label}
    return len(kinds) == 1 and kinds != {_NAME} and _kind(first[label]) == _NAME


_INDEX, _BY_WNID, _NAME = range(3)


def _kind(cell: str) -> int:
    if whole_number(cell) is not None:
        return _INDEX
    return _BY_WNID if wnid_of(cell) else _NAME


def _columns(path: Path, rows: list[_Row]) -> _Columns | None:
    """Which columns hold names and classes; None where these rows do not look like that.

    Raises DatasetInvalid where several columns could hold the classes.
    """
    width = Counter(len(row.cells) for row in rows).most_common(1)[0][0]
    if width < 2:
        return None
    heading = [_squashed(cell) for cell in rows[0].cells]
    is_heading = not any(suffix_of(cell) in suffixes() for cell in rows[0].cells)
    names = [heading.index(word) for word in _NAME_COLUMNS if word in heading] if is_heading else []
    body = [row for row in rows[1:] if len(row.cells) == width] or rows[:1]
    labels = [p for p, word in enumerate(heading) if word in _LABEL_COLUMNS] if is_heading else []
    labels = labels or [p for p, w in enumerate(heading) if is_heading and w in _LAST_CHOICE]
    name = names[0] if names and (labels or len(rows) > 1) else _name_column(body, width)
    if name is None:
        return None
    others = [place for place in range(width) if place != name]
    labels = [place for place in labels if place in others and place < width]
    if labels:
        label = min(labels, key=lambda p: (_doubt(body, p), _LABEL_RANK(heading[p])))
        taken = f"{rows[0].cells[name]!r} and {rows[0].cells[label]!r}"
        note = f"Columns {taken} of {path.name} are read." if width > 2 else None
        return _Columns(name, label, True, note)
    found = _label_column(path, rows, body, others)
    if found is None:
        return None
    note = f"Columns {name + 1} and {found + 1} of {path.name} are read." if width > 2 else None
    first = rows[0].cells
    first_is_none = bool(names) and len(first) > found and _kind(first[found]) == _NAME
    return _Columns(name, found, first_is_none or _is_heading(rows, name, found), note)


_LABEL_RANK: Callable[[str], int] = (*_LABEL_COLUMNS, *_LAST_CHOICE).index


def _doubt(rows: list[_Row], place: int) -> int:
    """The less the better: indices may be in another order, which ImageNet's wnids cannot."""
    if all(wnid_of(row.cells[place]) in wnid_to_index() for row in rows):
        return -1
    return _kind_of_column(rows, place)


def _kind_of_column(rows: list[_Row], place: int) -> int:
    return max(_kind(row.cells[place]) for row in rows)


def _name_column(rows: list[_Row], width: int) -> int | None:
    """The column of image names: by their suffixes, else the one of two that is no class."""
    for place in range(width):
        if all(suffix_of(row.cells[place]) in suffixes() for row in rows):
            return place
    if width != 2:
        return None
    kinds = [_kind_of_column(rows, place) for place in range(width)]
    if kinds[1] != _NAME:
        return 0
    return 1 if kinds[0] != _NAME else None


def _label_column(path: Path, rows: list[_Row], body: list[_Row], others: list[int]) -> int | None:
    if len(others) == 1:
        return others[0]
    kinds = {place: _kind_of_column(body, place) for place in others}
    for kind in (_BY_WNID, _INDEX):
        places = [place for place in others if kinds[place] == kind]
        if len(places) == 1:
            return places[0]
        if places:
            break
    raise DatasetInvalid(
        f"{path.name} has {len(others) + 1} columns ({', '.join(rows[0].cells)}), and nothing says "
        f"which holds the class: say `--label-columns IMAGE,CLASS`, each by its heading or by its "
        f"number from 1{ON_THE_PAGE}."
    )

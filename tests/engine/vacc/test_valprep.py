"""Sorting validation images into folders: whole, verified, twice the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.datasets.imagenet import wnid_to_index
from engine.datasets.label_files import LabelOptions
from engine.datasets.layouts import detect_layout
from engine.datasets.sorting import sort_by_class
from engine.errors import DatasetInvalid


def silent(done: int, total: int) -> None:
    """No progress is shown."""


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    folder = tmp_path / "flat"
    folder.mkdir()
    for number in range(3):
        (folder / f"ILSVRC2012_val_0000000{number}.JPEG").write_bytes(bytes([number]) * 9)
    lines = [f"ILSVRC2012_val_0000000{n}.JPEG {c}\n" for n, c in enumerate((0, 0, 2))]
    (folder / "val_label.txt").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("copy", [True, False])
def test_every_image_stands_in_its_class_once(flat: Path, tmp_path: Path, copy: bool) -> None:
    target = tmp_path / "val"
    found = sort_by_class(flat, None, target, copy, silent)
    assert (found.images, found.classes, found.created) == (3, 2, 3)
    layout = detect_layout(target)
    assert layout.labels == (0, 0, 2)
    place = target / "n01440764" / "ILSVRC2012_val_00000001.JPEG"
    source = flat / "ILSVRC2012_val_00000001.JPEG"
    assert place.read_bytes() == source.read_bytes()
    assert place.samefile(source) is not copy
    assert sort_by_class(flat, None, target, copy, silent).created == 0
    place.unlink()
    assert sort_by_class(flat, None, target, copy, silent).created == 1


@pytest.mark.parametrize(
    "line", ["./val/{n},{w} 1 2 3 4", "{n}\t{i}", "C:\\val\\{n} {w}", "{s} {w}", "{i} {n}"]
)
def test_label_files_of_any_form_are_sorted(flat: Path, tmp_path: Path, line: str) -> None:
    wnids, lines = list(wnid_to_index()), ""
    for number, index in enumerate((7, 0, 999)):
        stem = f"ILSVRC2012_val_0000000{number}"
        lines += line.format(n=f"{stem}.JPEG", s=stem, i=index, w=wnids[index]) + "\n"
    (tmp_path / "labels").write_text(lines)
    sort_by_class(flat, LabelOptions(tmp_path / "labels"), tmp_path / "val", True, silent)
    made = {path.name: path.parent.name for path in (tmp_path / "val").rglob("*.JPEG")}
    assert [made[name] for name in sorted(made)] == [wnids[7], wnids[0], wnids[999]]


def test_other_files_are_never_replaced(flat: Path, tmp_path: Path) -> None:
    target = tmp_path / "val"
    sort_by_class(flat, None, target, True, silent)
    place = target / "n01440764" / "ILSVRC2012_val_00000001.JPEG"
    place.write_bytes(b"other")
    with pytest.raises(DatasetInvalid, match="exists already with other content"):
        sort_by_class(flat, None, target, True, silent)
    place.unlink()
    (target / "n01440764" / "stranger.JPEG").write_bytes(b"x")
    with pytest.raises(DatasetInvalid, match=r"stranger\.JPEG exists already and is not an image"):
        sort_by_class(flat, None, target, True, silent)


def test_a_sorted_folder_is_not_sorted_again(flat: Path, tmp_path: Path) -> None:
    sort_by_class(flat, None, tmp_path / "val", True, silent)
    with pytest.raises(DatasetInvalid, match="already has a folder per class"):
        sort_by_class(tmp_path / "val", None, tmp_path / "again", True, silent)
    with pytest.raises(DatasetInvalid, match="is not a folder"):
        sort_by_class(tmp_path / "none", None, tmp_path / "again", True, silent)

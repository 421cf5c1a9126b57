"""Which folder is which class: by wnid, by number, by list; none is dropped without a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.datasets.classes import ClassSource
from engine.datasets.imagenet import class_names, wnid_to_index
from engine.datasets.label_files import LabelOptions
from engine.datasets.layouts import Layout, detect_layout
from engine.errors import DatasetInvalid

WNIDS = list(wnid_to_index())


def put(root: Path, *images: str) -> Path:
    """Empty files: folders are recognized by names alone."""
    for image in images:
        path = root / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def folders(root: Path, *names: str) -> Path:
    return put(root, *(f"{name}/a.png" for name in names))


def label_of(layout: Layout) -> dict[str, int]:
    """The label of each class folder."""
    pairs = zip(layout.files, layout.labels, strict=True)
    return {file.partition("/")[0]: label for file, label in pairs}


def said(layout: Layout) -> str:
    return " ".join(layout.notes)


@pytest.mark.parametrize("form", ["{}", "{:03d}"])
def test_folders_numbered_from_0_are_the_indices(tmp_path: Path, form: str) -> None:
    names = [form.format(number) for number in range(12)]
    layout = detect_layout(folders(tmp_path, *names))
    assert label_of(layout) == {name: number for number, name in enumerate(names)}
    assert layout.class_names == tuple(names)
    assert "the number is the class index" in said(layout)


def test_imagenet_v2_has_a_thousand_numbered_folders(tmp_path: Path) -> None:
    layout = detect_layout(folders(tmp_path, *map(str, range(1000))))
    assert label_of(layout) == {str(number): number for number in range(1000)}
    assert layout.class_names == class_names()


def test_folders_numbered_from_1_are_moved_by_one_and_that_is_said(tmp_path: Path) -> None:
    root = folders(tmp_path, *map(str, range(1, 13)))
    layout = detect_layout(root)
    assert label_of(layout) == {str(number): number - 1 for number in range(1, 13)}
    assert "start at 1: 1 is subtracted" in said(layout)
    kept = detect_layout(root, LabelOptions(base=0))
    assert label_of(kept)["12"] == 12
    assert len(kept.class_names) == 13


def test_a_number_that_is_missing_leaves_its_gap(tmp_path: Path) -> None:
    layout = detect_layout(folders(tmp_path, "0", "1", "3", "10"))
    assert label_of(layout) == {"0": 0, "1": 1, "3": 3, "10": 10}
    assert layout.classes is not None
    assert layout.classes.source is ClassSource.OPEN_NUMBERS
    assert "7 classes (2, 4, 5, 6, 7 and 2 more)" in said(layout)


def test_two_folders_of_one_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalid, match="the folders 01 and 1 are the same number"):
        detect_layout(folders(tmp_path, "0", "1", "01"))


def test_folders_that_are_dates_are_names(tmp_path: Path) -> None:
    layout = detect_layout(folders(tmp_path, "20240101", "20240102"))
    assert layout.class_names == ("20240101", "20240102")


@pytest.mark.parametrize("names", [("0", "1", "2"), ("ant", "bee", "cat"), tuple(WNIDS[5:8])])
def test_an_empty_class_folder_keeps_its_index_and_is_named(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    folders(tmp_path, names[0], names[2])
    (tmp_path / names[1]).mkdir()
    layout = detect_layout(tmp_path)
    first = wnid_to_index().get(names[0], 0)
    assert label_of(layout) == {names[0]: first, names[2]: first + 2}
    assert f"Classes without images: 1 empty class folder ({names[1]})" in said(layout)


@pytest.mark.parametrize("names", [("0", "1"), (WNIDS[3], WNIDS[9])])
def test_an_empty_folder_of_another_kind_of_name_is_no_class(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    folders(tmp_path, *names)
    (tmp_path / "annotations").mkdir()
    layout = detect_layout(tmp_path)
    assert set(label_of(layout)) == set(names)
    assert "annotations" in said(layout)


def test_folders_that_programs_leave_behind_are_no_classes(tmp_path: Path) -> None:
    folders(tmp_path, "ant", "bee", ".ipynb_checkpoints", "@eaDir", "__MACOSX", ".thumbs")
    put(tmp_path, "bee/.ipynb_checkpoints/copy.png", "ant/._a.png")
    layout = detect_layout(tmp_path)
    assert layout.files == ("ant/a.png", "bee/a.png")
    assert layout.class_names == ("ant", "bee")
    assert "__MACOSX" in said(layout)


def test_every_file_is_used_or_counted(tmp_path: Path) -> None:
    put(tmp_path, *(f"ant/{n}" for n in ("a.jfif", "b.jpe", "c.JPG", "d.ppm", "e.heic", "f.txt")))
    put(tmp_path, "bee/a.png", "bee/more/b.png", "bee/more/and/c.png", "loose.png")
    layout = detect_layout(tmp_path)
    assert layout.files == (
        *("ant/a.jfif", "ant/b.jpe", "ant/c.JPG", "ant/d.ppm"),
        *("bee/a.png", "bee/more/and/c.png", "bee/more/b.png"),
    )
    assert layout.labels == (0, 0, 0, 0, 1, 1, 1)
    for text in ("1 .heic", "1 .txt", "Included: 2 images in subfolders", "Not used: 1 image in"):
        assert text in said(layout)


def test_a_linked_folder_that_holds_itself_ends(tmp_path: Path) -> None:
    folders(tmp_path, "ant", "bee")
    (tmp_path / "bee" / "again").symlink_to(tmp_path)
    assert len(detect_layout(tmp_path).files) == 2


def test_other_names_with_digits_say_which_order_was_taken(tmp_path: Path) -> None:
    names = [f"class_{number}" for number in range(1, 13)]
    root = folders(tmp_path / "set", *names)
    layout = detect_layout(root)
    assert layout.class_names == tuple(sorted(names))
    assert "sorted by folder name as text" in said(layout)
    assert "class_1, class_10" in said(layout)
    listed = tmp_path / "classes.txt"
    listed.write_text("".join(f"{name}\n" for name in names))
    assert label_of(detect_layout(root, LabelOptions(classes=listed))) == {
        name: number for number, name in enumerate(names)
    }


@pytest.mark.parametrize(
    "text",
    [
        "zebra\nant\nbee\n",
        "\ufeffzebra\r\nant\r\nbee\r\n",
        "0 zebra\n1 ant\n2 bee\n",
        "1: zebra\n2: ant\n3: bee",
        "index,name\n0,zebra\n1,ant\n2,bee\n",
        json.dumps(["zebra", "ant", "bee"]),
        json.dumps({"zebra": 0, "bee": 2, "ant": 1}),
        json.dumps({"2": "bee", "0": ["n02391049", "zebra"], "1": ["x", "ant"]}),
        json.dumps({"model_type": "resnet", "id2label": {"0": "zebra", "1": "ant", "2": "bee"}}),
    ],
)
def test_a_class_list_of_any_form_gives_the_order(tmp_path: Path, text: str) -> None:
    root = folders(tmp_path / "set", "ant", "bee", "zebra")
    (tmp_path / "list").write_bytes(text.encode())
    layout = detect_layout(root, LabelOptions(classes=tmp_path / "list"))
    assert label_of(layout) == {"zebra": 0, "ant": 1, "bee": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ant\n\nbee\n", "line 2: an empty line"),
        ("", "contains no class names"),
        ("ant\ncat\n", r"1 of 2 folders are not in the class list.*\(bee\).*starts with ant, cat"),
        ('{"0": "ant", "2": "bee"}', "numbered 0 to 1, each number once"),
        ('{"a": "ant"}', "not a class list"),
        ('["ant", ', "not valid JSON"),
        ("a.png 0\nb.png 1\n", "it is a label file"),
        ("ant\nbee\nbee\n", "more than once"),
    ],
)
def test_a_wrong_class_list_is_explained(tmp_path: Path, text: str, message: str) -> None:
    root = folders(tmp_path / "set", "ant", "bee")
    (tmp_path / "list").write_text(text)
    with pytest.raises(DatasetInvalid, match=message):
        detect_layout(root, LabelOptions(classes=tmp_path / "list"))


def test_a_class_list_matches_numbers_and_other_spellings(tmp_path: Path) -> None:
    listed = tmp_path / "list"
    listed.write_text("Golden Retriever\nant\nbee\n")
    spelled = folders(tmp_path / "a", "golden_retriever", "bee")
    layout = detect_layout(spelled, LabelOptions(classes=listed))
    assert label_of(layout) == {"golden_retriever": 0, "bee": 2}
    assert "Without a folder: 1 class (ant)" in said(layout)
    from_one = detect_layout(folders(tmp_path / "b", "1", "2", "3"), LabelOptions(classes=listed))
    assert label_of(from_one) == {"1": 0, "2": 1, "3": 2}
    with pytest.raises(DatasetInvalid, match=r"1 to 2 of 3 classes.*--label-base"):
        detect_layout(folders(tmp_path / "c", "1", "2"), LabelOptions(classes=listed))


def test_wnids_with_a_name_behind_them_are_wnids(tmp_path: Path) -> None:
    layout = detect_layout(
        folders(tmp_path, f"{WNIDS[151]}-Chihuahua", f"{WNIDS[153]}-Maltese_dog")
    )
    assert set(layout.labels) == {151, 153}
    assert len(layout.class_names) == 1000


def test_wnids_beyond_the_thousand_are_classes_of_their_own(tmp_path: Path) -> None:
    layout = detect_layout(folders(tmp_path, WNIDS[0], "n00000001"))
    assert layout.class_names == ("n00000001", WNIDS[0])
    assert "1 of 2 wnids are not among ImageNet's 1,000 (n00000001)" in said(layout)


@pytest.mark.parametrize(
    ("images", "where"),
    [
        (("train/cat/a.png", "train/dog/b.png", "val/cat/c.png", "val/dog/d.png"), "set/val"),
        (("ILSVRC/Data/val/n01440764/a.png", "ILSVRC/Data/val/n01443537/b.png"), "Data/val"),
        (("x/Data/train/cat/a.png", "x/Data/test/cat/b.png"), r"Data/test .*Data/train"),
        (("images/a.png", "images/b.png"), "set/images"),
        (("one/cat/a.png", "one/dog/b.png", "two/cat/c.png", "two/dog/d.png"), "set/one"),
        (("train/cat/a.png", "val/images/c.png", "extra/d.png"), "set/val"),
    ],
)
def test_where_the_images_of_a_nested_root_are_is_said(
    tmp_path: Path, images: tuple[str, ...], where: str
) -> None:
    root = put(tmp_path / "set", *images)
    with pytest.raises(DatasetInvalid, match=f"the images are in .*{where}.*dataset add NAME"):
        detect_layout(root)


def test_tiny_imagenet_is_read_where_it_is(tmp_path: Path) -> None:
    put(tmp_path, *(f"train/{wnid}/images/{wnid}_0.JPEG" for wnid in WNIDS[3:6]))
    put(tmp_path, *(f"val/images/val_{n}.JPEG" for n in range(3)))
    lines = [f"val_{n}.JPEG\t{WNIDS[5 - n]}\t0\t32\t44\t62\n" for n in range(3)]
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(lines))
    with pytest.raises(DatasetInvalid, match=r"val \(3 images\)"):
        detect_layout(tmp_path)
    assert detect_layout(tmp_path / "train").labels == (3, 4, 5)
    assert detect_layout(tmp_path / "val").labels == (5, 4, 3)
    found = detect_layout(
        tmp_path / "val" / "images", LabelOptions(tmp_path / "val" / "val_annotations.txt")
    )
    assert found.labels == (5, 4, 3)

"""One reader of label files: every form gives the same labels, or one true sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.datasets.classes import ClassSource
from engine.datasets.imagenet import wnid_to_index
from engine.datasets.label_files import LabelOptions
from engine.datasets.layouts import Layout, detect_layout
from engine.errors import DatasetInvalid

WNIDS = list(wnid_to_index())
LABELS = (2, 0, 1)
NAMES = ("im_1.JPEG", "im_2.JPEG", "im_3.JPEG")
PAIRS = tuple(zip(NAMES, LABELS, strict=True))
ILSVRC = tuple(f"ILSVRC2012_val_{number:08d}.JPEG" for number in (1, 2, 3))


def read(
    tmp_path: Path, text: str | bytes, names: tuple[str, ...] = NAMES, **said: object
) -> Layout:
    """Images of these names with a label file of this text."""
    root = tmp_path / "images"
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    file = tmp_path / "labels"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return detect_layout(root, LabelOptions(file, **said))  # type: ignore[arg-type]


def lines(form: str) -> str:
    """A line of this form for each image; `s` is the name without its suffix."""
    return "".join(
        form.format(n=name, s=name.partition(".")[0], l=label, w=WNIDS[label]) + "\n"
        for name, label in PAIRS
    )


@pytest.mark.parametrize(
    "form",
    [
        "{n} {l}",
        "path/to/{n} {l}",
        "./data/{n}, {l}",
        "/mnt/imagenet/val/{n} {l}",
        "{s} {l}",
        "{n}\t{l}",
        "{n},{l}",
        "{n};{l}",
        "{n}|{l}",
        "C:\\data\\val\\{n} {l}",
        '"{n}" "{l}"',
        "'{n}','{l}'",
        "{l} {n}",
        "{l},{n}",
        "{n} {l}.0",
        "{s}.jpg {l}",
        "{n} {l} some class name",
        "{n}  {l}  ",
        "{n}: {l}",
        "{n}={l}",
        "{n} -> {l}",
        '"{n}";"{l},0"',
    ],
)
def test_lines_of_any_form_are_read(tmp_path: Path, form: str) -> None:
    layout = read(tmp_path, lines(form))
    assert layout.labels == LABELS
    assert layout.class_names == ("0", "1", "2")
    assert any("No class list was given: the classes are 0 to 2" in note for note in layout.notes)


@pytest.mark.parametrize(
    "heading",
    [
        "filename,label",
        "image_id,class",
        "path;target",
        "ImageId,Class ID",
        "img\tcategory_id",
        "file_name,class_index",
        "foto,klasse",
    ],
)
def test_a_heading_names_the_columns_or_is_known_for_one(tmp_path: Path, heading: str) -> None:
    delimiter = next(sign for sign in "\t;," if sign in heading)
    assert read(tmp_path, f"{heading}\n{lines('{n}' + delimiter + '{l}')}").labels == LABELS


def test_of_several_columns_the_one_of_the_class_is_taken_and_named(tmp_path: Path) -> None:
    table = ",split,filename,label,label_id\n" + lines("9,val,{n},cls_{l},{l}")
    layout = read(tmp_path, table)
    assert layout.labels == LABELS
    assert "Columns 'filename' and 'label_id'" in layout.notes[0]


def test_columns_that_nothing_names_are_asked_for(tmp_path: Path) -> None:
    table = "foto,breite,klasse\n" + lines("{n},3{l},{l}")
    with pytest.raises(
        DatasetInvalid, match=r"3 columns \(foto, breite, klasse\).*--label-columns"
    ):
        read(tmp_path, table)
    assert read(tmp_path, table, columns=("foto", "klasse")).labels == LABELS
    assert read(tmp_path, table, columns=("1", "3")).labels == LABELS
    with pytest.raises(DatasetInvalid, match="no column 'art'; its columns are foto, breite"):
        read(tmp_path, table, columns=("foto", "art"))
    with pytest.raises(DatasetInvalid, match="cannot contain both"):
        read(tmp_path, table, columns=("foto", "1"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_marks_and_line_ends_do_not_matter(tmp_path: Path, encoding: str) -> None:
    text = lines("{n} {l}").replace("\n", "\r\n")
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    assert read(tmp_path, mark + text.encode(encoding)).labels == LABELS


@pytest.mark.parametrize(
    "data",
    [
        dict(PAIRS),
        [list(pair) for pair in PAIRS],
        [{"file": name, "label": label, "width": 30} for name, label in PAIRS],
    ],
)
def test_json_is_read(tmp_path: Path, data: object) -> None:
    assert read(tmp_path / "plain", json.dumps(data)).labels == LABELS
    assert read(tmp_path / "within", json.dumps({"labels": data})).labels == LABELS
    if isinstance(data, list):
        assert read(tmp_path / "lines", "\n".join(map(json.dumps, data))).labels == LABELS


@pytest.mark.parametrize("form", ["{n} {l}", "{n}\t{l}", "{n},{l}"])
def test_lines_of_comment_are_left_out(tmp_path: Path, form: str) -> None:
    assert read(tmp_path, f"# name class\n{lines(form)}# end\n").labels == LABELS


def test_an_image_may_have_two_lines_that_agree(tmp_path: Path) -> None:
    assert read(tmp_path, lines("{n} {l}") + "im_1.JPEG 02.0\n").labels == LABELS
    with pytest.raises(DatasetInvalid, match=r"line 4: im_1.JPEG has another class"):
        read(tmp_path, lines("{n} {l}") + "im_1.JPEG 1\n")


@pytest.mark.parametrize(
    "text",
    [
        "ImageId,PredictionString\n" + lines("{s},{w} 111 108 431 202 "),
        "ImageId,PredictionString\n" + lines("{s},{w} 1 1 4 2 {w} 5 5 9 9"),
        lines("{n} {w}"),
        lines("{w}"),
        lines("{n}\t{w}\t0\t0\t31\t31"),
        lines("{s} {w} 111 108 431 202"),
        "filename,class_id,wnid\n" + lines("{n},490,{w}"),
    ],
)
def test_wnids_name_the_class(tmp_path: Path, text: str) -> None:
    layout = read(tmp_path, text)
    assert layout.labels == LABELS
    assert layout.classes is not None
    assert layout.classes.source is ClassSource.WNIDS
    assert layout.classes.present == (0, 1, 2)


def test_a_list_of_wnids_is_matched_by_the_number_of_the_image(tmp_path: Path) -> None:
    text = "".join(f"{WNIDS[label]}\n" for label in (7, 8, 2, 3))
    names = tuple(f"ILSVRC2012_val_{number:08d}.JPEG" for number in (4, 2))
    assert read(tmp_path, text, names).labels == (8, 3)
    with pytest.raises(DatasetInvalid, match=r"4 wnids without image names.*3 images"):
        read(tmp_path / "other", text)


def test_names_of_classes_are_in_alphabetical_order_or_in_that_of_a_list(tmp_path: Path) -> None:
    text = "image,label\n" + "".join(f"{n},{w}\n" for n, w in zip(NAMES, "cab", strict=True))
    layout = read(tmp_path, text)
    assert layout.labels == (2, 0, 1)
    assert "alphabetical" in layout.notes[0]
    listed = tmp_path / "list"
    listed.write_text("c\nb\na\n")
    assert read(tmp_path, text, classes=listed).labels == (0, 2, 1)


def test_bare_numbers_are_explained(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetInvalid, match=r"ground_truth.txt.*class order .* differs.*LOC_val_sol"
    ):
        read(tmp_path, "490\n361\n171\n", ILSVRC)


def test_numbers_from_1_are_moved_where_that_is_certain(tmp_path: Path) -> None:
    text = "".join(f"{name} {label}\n" for name, label in zip(ILSVRC, (1000, 1, 7), strict=True))
    layout = read(tmp_path, text, ILSVRC)
    assert layout.labels == (999, 0, 6)
    assert "count from 1 to 1,000: 1 is subtracted" in layout.notes[0]
    listed = tmp_path / "list"
    listed.write_text("a\nb\nc\n")
    from_one = "".join(f"{name} {label + 1}\n" for name, label in PAIRS)
    assert read(tmp_path / "own", from_one, classes=listed).labels == LABELS


def test_numbers_that_may_be_from_1_are_asked_for(tmp_path: Path) -> None:
    text = "".join(f"{name} {label + 1}\n" for name, label in PAIRS)
    with pytest.raises(DatasetInvalid, match=r"--label-base 1` \(3 classes\).*\(4 classes\)"):
        read(tmp_path, text)
    assert read(tmp_path, text, base=1).labels == LABELS
    assert read(tmp_path, text, base=0).labels == (3, 1, 2)
    with pytest.raises(DatasetInvalid, match="contain 0, which is outside the range 1"):
        read(tmp_path, lines("{n} {l}"), base=1)


def test_indices_of_imagenets_own_images_are_of_its_thousand_classes(tmp_path: Path) -> None:
    text = "".join(f"{name} {label}\n" for name, label in zip(ILSVRC, (65, 970, 1), strict=True))
    layout = read(tmp_path, text, ILSVRC)
    assert (layout.labels, len(layout.class_names)) == ((65, 970, 1), 1000)
    assert "are 1 to 970 of 1,000 classes: assumed to count from 0" in layout.notes[0]
    counted = read(tmp_path, text, ILSVRC, base=1)
    assert (counted.labels, counted.notes) == ((64, 969, 0), ())


def test_labels_that_hold_a_0_count_from_0_without_a_word(tmp_path: Path) -> None:
    text = "".join(f"{name} {label}\n" for name, label in zip(ILSVRC, (65, 970, 0), strict=True))
    layout = read(tmp_path, text, ILSVRC)
    assert (layout.labels, layout.notes) == ((65, 970, 0), ())


def test_indices_with_gaps_leave_the_end_open(tmp_path: Path) -> None:
    layout = read(tmp_path, "im_1.JPEG 9\nim_2.JPEG 0\nim_3.JPEG 4\n")
    assert layout.classes is not None
    assert layout.classes.source is ClassSource.OPEN_NUMBERS
    assert "the classes are 0 to 9, 7 of them without an image" in layout.notes[0]


def test_names_with_blanks_and_commas(tmp_path: Path) -> None:
    names = ("a, b.jpg", "my photo 2.jpg", "z.jpg")
    text = "a, b.jpg 0\nmy photo 2.jpg 1\nz.jpg 2\n"
    assert read(tmp_path, text, names).labels == (0, 1, 2)


def test_images_in_folders_that_no_line_names_are_left_out_beside_others(tmp_path: Path) -> None:
    layout = read(tmp_path, lines("{n} {l}"), (*NAMES, "thumbs/im_1.JPEG", "thumbs/x.png"))
    assert (layout.files, layout.labels) == (NAMES, LABELS)
    assert any("Not used: 2 images in subfolders" in note for note in layout.notes)
    with pytest.raises(DatasetInvalid, match=r"1 of 5 images have no line.*thumbs/im_1"):
        read(tmp_path, lines("{n} {l}") + "thumbs/x.png 0\n", NAMES)


SAME = ("cat/1.png", "dog/1.png", "dog/2.png")


def test_paths_tell_images_of_one_name_apart(tmp_path: Path) -> None:
    text = "images/cat/1.png 0\n/data/set/dog/1.png 1\n2.png 2\n"
    assert read(tmp_path, text, SAME).labels == (0, 1, 2)
    with pytest.raises(DatasetInvalid, match=r"line 1: 2 images are called 1\.png"):
        read(tmp_path, "1.png 0\ndog/2.png 1\n", SAME)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\x00\xc3", "not UTF-8 text"),
        (b"im_1.JPEG 0\0", "zero bytes"),
        ("", "is empty"),
        ("Labels of mine\n" + lines("{n}\t{l}"), "line 1: expected"),
        ("file,label\n", "expected|no lines"),
        ("file,label\nim_1.JPEG,2\nim_2.JPEG,\nim_3.JPEG,1\n", "line 3: there is no class for"),
        (lines("{n} {w}") + "im_9.JPEG 3\n", "im_9|line 4: expected.*'3'"),
        ('{"a": [1]}', "not a label file"),
        ("other_1.png 0\nother_2.png 1\n", "belongs to other images: it lists other_1.png"),
        ("im_1.JPEG 0\nim_2.JPEG 1\nim_3.JPEG 123456789\n", "not a class index"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read(tmp_path, text)

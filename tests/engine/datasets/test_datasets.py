"""Layouts are recognized, labels are checked, corrupt images are named, draws are fair."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.classes import ClassSource
from engine.datasets.imagenet import class_names, wnid_to_index
from engine.datasets.layouts import detect_layout
from engine.datasets.reader import open_index, read_batches
from engine.datasets.registration import (
    check_folder,
    check_images,
    current_layout,
    find_dataset,
    register,
    run,
)
from engine.datasets.sampling import sample_by_class
from engine.errors import DatasetInvalid
from engine.specs import DatasetSpec
from tests.support.tiny import PREPROCESS, Quiet, image_folder


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


def save(path: Path, color: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (color, 0, 0)).save(path)


def test_imagenet_classes_are_in_the_official_order() -> None:
    assert len(class_names()) == 1000
    assert list(wnid_to_index()) == sorted(wnid_to_index())
    assert (wnid_to_index()["n01440764"], wnid_to_index()["n15075141"]) == (0, 999)
    assert class_names()[134] == class_names()[517] == "crane"


def test_folders_named_by_wnid_keep_their_imagenet_index(tmp_path: Path) -> None:
    save(tmp_path / "n01443537" / "a.png")
    save(tmp_path / "n03126707" / "b.png")
    layout = detect_layout(tmp_path)
    assert (layout.labels, len(layout.class_names)) == ((1, 517), 1000)


def test_other_folders_are_numbered_in_the_order_of_their_names(tmp_path: Path) -> None:
    save(tmp_path / "zebra" / "a.png")
    save(tmp_path / "ant" / "b.png")
    layout = detect_layout(tmp_path)
    assert layout.files == ("ant/b.png", "zebra/a.png")
    assert (layout.labels, layout.class_names) == ((0, 1), ("ant", "zebra"))


def test_mixed_naming_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "n01443537" / "a.png")
    save(tmp_path / "goldfish" / "b.png")
    with pytest.raises(DatasetInvalid, match="goldfish"):
        detect_layout(tmp_path)


def test_a_flat_folder_with_wnids_in_the_names(tmp_path: Path) -> None:
    save(tmp_path / "n01440764_tench.png")
    save(tmp_path / "n01443537_goldfish.png")
    assert detect_layout(tmp_path).labels == (0, 1)


def test_a_flat_folder_with_a_label_file(tmp_path: Path) -> None:
    for number in (2, 1):
        save(tmp_path / f"ILSVRC2012_val_0000000{number}.png")
    (tmp_path / "val_label.txt").write_text(
        "ILSVRC2012_val_00000001.png 65\n\nILSVRC2012_val_00000002.png 970\n"
    )
    assert detect_layout(tmp_path).labels == (65, 970)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a.png 1\n", "1 of 2 images have no line .*b.png"),
        ("a.png 1\nb.png 2\nc.png 3\n", "lists 1 images that are not in .*c.png"),
        ("a.png 1\nb.png 1000\n", "1 to 1,000 without a 0.*--label-base 1.*--label-base 0"),
        ("a.png 1\nb.png 2\n", "1 to 2 without a 0.*--label-base 1.*--label-base 0"),
        ("a.png 1\nb.png cat\n", "line 2: expected '<file> <class index>'"),
        ("a.png 1\na.png 2\nb.png 3\n", "line 2: a.png has another class"),
        ("a.png 1\nb.png -1\n", "line 2: expected"),
        ("a.png 1\nb.png 2 \n\n c.png\n", "line 4: expected"),
        ("a.png 1\nb.png 1.5\n", "line 2: expected"),
    ],
)
def test_a_wrong_label_file_is_explained(tmp_path: Path, lines: str, message: str) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    (tmp_path / "val_label.txt").write_text(lines)
    with pytest.raises(DatasetInvalid, match=message):
        detect_layout(tmp_path)


def test_images_without_labels_are_refused_with_the_way_out(tmp_path: Path) -> None:
    save(tmp_path / "n01440764_tench.png")
    save(tmp_path / "holiday.png")
    with pytest.raises(DatasetInvalid, match=r"1 of 2 images have no label .*holiday.*val_label"):
        detect_layout(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "file.txt"])
def test_what_is_no_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(DatasetInvalid, match="is not a folder"):
        detect_layout(tmp_path / name)


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalid, match="contains no images"):
        detect_layout(tmp_path)


def test_corrupt_images_are_counted_and_named_and_left_out(tmp_path: Path, url: str) -> None:
    root = image_folder(tmp_path / "set", per_class=3)
    whole = (root / "class1" / "000.png").read_bytes()
    (root / "class1" / "000.png").write_bytes(whole[: len(whole) // 2])
    (root / "class2" / "001.png").write_bytes(b"")
    row = register("tiny", check_folder(root, None, quiet), url)
    assert (row.num_images, row.report["corrupt"]) == (10, 2)
    assert [name for name, _ in row.report["corrupt_files"]] == [
        "class1/000.png",
        "class2/001.png",
    ]
    assert "class1/000.png" not in open_index(row).files


def test_a_folder_of_nothing_but_corrupt_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "class0").mkdir()
    (tmp_path / "class0" / "a.png").write_bytes(b"not an image")
    with pytest.raises(DatasetInvalid, match="none of 1 images"):
        check_folder(tmp_path, None, quiet)


def test_the_digest_changes_with_a_pixel_and_with_a_label(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "set", per_class=2)
    before = check_folder(root, None, quiet).digest
    assert check_folder(root, None, quiet).digest == before
    (root / "class0" / "000.png").rename(root / "class1" / "900.png")
    moved = check_folder(root, None, quiet).digest
    save(root / "class0" / "001.png", color=9)
    assert len({before, moved, check_folder(root, None, quiet).digest}) == 3


def test_an_unknown_dataset_lists_the_known_ones(tmp_path: Path, url: str) -> None:
    register("tiny", check_folder(image_folder(tmp_path / "set", 1), None, quiet), url)
    with pytest.raises(DatasetInvalid, match=r"no dataset 'tyni'.*Registered: tiny"):
        find_dataset("tyni", url)


def test_an_image_that_vanished_stops_the_reading_with_its_name(tmp_path: Path, url: str) -> None:
    root = image_folder(tmp_path / "set", per_class=2)
    index = open_index(register("tiny", check_folder(root, None, quiet), url))
    (root / "class0" / "001.png").unlink()
    with pytest.raises(
        DatasetInvalid, match=r"class0/001\.png of dataset .*cannot be preprocessed"
    ):
        list(read_batches(index, range(len(index)), PREPROCESS, 4, threads=2))


def test_batches_come_in_order_whatever_the_threads(tmp_path: Path, url: str) -> None:
    index = open_index(
        register("t", check_folder(image_folder(tmp_path / "s", 5), None, quiet), url)
    )
    one = np.concatenate(list(read_batches(index, range(20), PREPROCESS, 3, threads=1)))
    four = np.concatenate(list(read_batches(index, range(20), PREPROCESS, 3, threads=4)))
    assert one.shape == (20, 3, PREPROCESS.crop, PREPROCESS.crop)
    assert np.array_equal(one, four)


def test_a_draw_takes_every_class_before_any_class_twice() -> None:
    labels = np.repeat([3, 1, 7, 5], [50, 2, 10, 100])
    drawn = sample_by_class(labels, 12, seed=0)
    counts = Counter(labels[drawn].tolist())
    assert counts[1] == 2, "the small class gives all it has"
    assert {counts[c] for c in (3, 5, 7)} == {3, 4}, "the others share the rest evenly"
    assert len(set(drawn.tolist())) == 12
    assert np.array_equal(drawn, sample_by_class(labels, 12, seed=0))
    assert not np.array_equal(drawn, sample_by_class(labels, 12, seed=1))


def test_a_draw_of_more_than_there_is_takes_everything() -> None:
    assert sample_by_class(np.array([0, 1, 1]), 10, seed=0).tolist() == [0, 1, 2]


def odd_images(root: Path) -> dict[str, bool]:
    """Files of every odd kind in one folder, and whether each can be read."""
    from tests.support.images import encoded, noise, photo, png_of_size

    exif = Image.Exif()
    exif[0x0112] = 6
    whole = encoded(photo(61, 47), "JPEG")
    files: dict[str, tuple[bytes, bool]] = {
        "gray.jpg": (encoded(photo(61, 47).convert("L"), "JPEG"), True),
        "cmyk.jpg": (encoded(Image.fromarray(noise(61, 47, 4), "CMYK"), "JPEG"), True),
        "png-inside.JPEG": (encoded(photo(61, 47), "PNG"), True),
        "rotated.jpg": (encoded(photo(61, 47), "JPEG", exif=exif), True),
        "one-pixel.png": (encoded(photo(1, 1), "PNG"), True),
        "truncated.jpg": (whole[: len(whole) // 2], False),
        "zero-bytes.jpg": (b"", False),
        "huge.png": (png_of_size(20_000, 20_000), False),
        "text.jpg": (b"not an image", False),
    }
    root.mkdir()
    for name, (data, _) in files.items():
        (root / name).write_bytes(data)
    labels = "".join(f"{name} {number}\n" for number, name in enumerate(files))
    (root / "val_label.txt").write_text(labels)
    return {name: readable for name, (_, readable) in files.items()}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_odd_images_are_prepared_as_torchvision_does_or_left_out_by_name(
    tmp_path: Path, url: str
) -> None:
    from torchvision.datasets.folder import default_loader

    from engine.evaluation.pipeline import Pipeline
    from engine.preprocess import PreprocessSpec
    from tests.support.images import torchvision_transform

    readable = odd_images(tmp_path / "odd")
    row = register("odd", check_folder(tmp_path / "odd", None, quiet), url)
    assert {name for name, _ in row.report["corrupt_files"]} == {
        name for name, good in readable.items() if not good
    }
    index = open_index(row)
    assert sorted(index.files) == sorted(name for name, good in readable.items() if good)
    spec = PreprocessSpec(resize=40, crop=36)
    everything = np.arange(len(index))
    pipeline = Pipeline(index, spec, None, 2, 8, everything)
    (given,) = pipeline.run([everything], lambda inputs: inputs, lambda out, images: out)
    pipeline.close()
    transform = torchvision_transform(spec)
    for name, found in zip(index.files, given, strict=True):  # type: ignore[call-overload]
        expected = transform(default_loader(str(index.root / name))).numpy()
        np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def digest_of_before(root: Path, names: dict[str, int]) -> str:
    """What the digest was before there were class lists: of files and labels alone."""
    lines = [
        f"{name}\0{hashlib.sha256((root / name).read_bytes()).hexdigest()}\0{label}\n"
        for name, label in sorted(names.items())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_datasets_keep_the_digests_that_they_had(tmp_path: Path) -> None:
    named = {"ant/a.png": 0, "bee/b.png": 1}
    wnids = {"n01443537/a.png": 1, "n03126707/b.png": 517}
    flat = {"ILSVRC2012_val_00000001.png": 65, "ILSVRC2012_val_00000002.png": 970}
    for number, names in enumerate((named, wnids, flat)):
        root = tmp_path / str(number)
        for name in names:
            save(root / name)
        if names is flat:
            (root / "val_label.txt").write_text("".join(f"{n} {i}\n" for n, i in flat.items()))
        assert check_folder(root, None, quiet).digest == digest_of_before(root, names)
    (tmp_path / "0" / "cat").mkdir()
    assert check_folder(tmp_path / "0", None, quiet).digest != digest_of_before(
        tmp_path / "0", named
    )


def test_a_check_reads_the_labels_as_they_were_read_first(tmp_path: Path, url: str) -> None:
    save(tmp_path / "set" / "a.png")
    save(tmp_path / "set" / "b.png")
    (tmp_path / "mine.csv").write_text("file,label\na.png,1\nb.png,2\n")
    spec = DatasetSpec(
        name="mine", root=str(tmp_path / "set"), labels=str(tmp_path / "mine.csv"), label_base=1
    )
    result = run(spec.to_json(), Quiet(url, tmp_path / "job"))
    row = find_dataset("mine", url)
    assert check_images(tmp_path / "set", current_layout(row), quiet).digest == row.digest
    assert result["notes"] == ["No class list was given: the classes are 1 to 2."]
    assert open_index(row).all_classes.source is ClassSource.NUMBERS

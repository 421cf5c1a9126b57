"""Inputs and outputs of the vendor's benchmark: written as they are, refused when hostile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import VaccFileInvalid
from engine.preprocess import PreprocessSpec, open_image, preprocess
from engine.vacc.decoding import decode_outputs, pair_outputs
from engine.vacc.image_files import convert_images, find_images
from engine.vacc.inference import run_inference
from engine.vacc.npz import read_datalist, read_input, read_output, write_output
from engine.vacc.report import ReportFigures, format_report

SPEC = PreprocessSpec(resize=None, crop=8)


def silent(done: int, total: int) -> None:
    """No progress is shown."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("n02/b.JPEG", "n02/a.JPEG", "n01/c.JPEG", "n01/ignored.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (random.integers(9, 30), 17, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path, format="JPEG")
    return tmp_path / "images"


def test_image2npz_writes_what_the_vendors_script_does(tree: Path, tmp_path: Path) -> None:
    made = convert_images(find_images(tree), tmp_path / "npz", tmp_path / "list.txt", 2, silent)
    assert made.left_out == ()
    lines = (tmp_path / "list.txt").read_text().splitlines()
    assert lines == [
        str(tmp_path / "npz" / name) for name in ("n01/c.npz", "n02/a.npz", "n02/b.npz")
    ]
    for line in lines:
        with np.load(line, allow_pickle=False) as arrays:
            assert arrays.files == ["input_0"]
            given = arrays["input_0"]
        image = np.asarray(open_image(tree / Path(line).parent.name / f"{Path(line).stem}.JPEG"))
        assert (given.dtype, given.shape) == (np.uint8, (3, *image.shape[:2]))
        assert np.array_equal(given.transpose(1, 2, 0), image), "RGB, at its own size"
        assert np.array_equal(read_input(Path(line)), image)


def test_images_that_cannot_be_read_are_named_and_not_listed(tree: Path, tmp_path: Path) -> None:
    (tree / "n01" / "broken.JPEG").write_bytes(b"\xff\xd8\xff")
    made = convert_images(find_images(tree), tmp_path / "npz", tmp_path / "list.txt", 1, silent)
    assert [path.name for path, _ in made.left_out] == ["broken.JPEG"]
    assert "broken" not in (tmp_path / "list.txt").read_text()


def test_two_images_never_become_one_file(tree: Path, tmp_path: Path) -> None:
    (tree / "deep" / "n01").mkdir(parents=True)
    (tree / "n01" / "c.JPEG").rename(tree / "deep" / "n01" / "a.JPEG")
    (tree / "n01" / "a.JPEG").write_bytes(b"x")
    with pytest.raises(VaccFileInvalid, match=r"would both be written to n01/a\.npz"):
        convert_images(find_images(tree), tmp_path / "npz", tmp_path / "list.txt", 1, silent)
    assert not (tmp_path / "list.txt").exists()


def test_a_folder_without_such_images_says_what_there_is(tree: Path) -> None:
    with pytest.raises(VaccFileInvalid, match=r"no files with the suffix \.bmp; .*\.JPEG"):
        find_images(tree, ".bmp")


def test_outputs_sort_as_the_list_and_hold_what_the_model_gives(tree: Path, tmp_path: Path) -> None:
    made = convert_images(find_images(tree), tmp_path / "npz", tmp_path / "list.txt", 1, silent)
    inputs = list(reversed(read_datalist(tmp_path / "list.txt")))

    def model(batch: np.ndarray) -> np.ndarray:
        return batch.mean(axis=(2, 3))

    passed = run_inference(model, inputs, tmp_path / "out", SPEC, 2, 2, silent)
    assert len(passed.latencies_ms) == 2, "three images in batches of two"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "000000_b.npz",
        "000001_a.npz",
        "000002_c.npz",
    ]
    for given, output in pair_outputs(inputs, tmp_path / "out"):
        image = open_image(tree / given.parent.name / f"{given.stem}.JPEG")
        expected = preprocess(image, SPEC).mean(axis=(1, 2))
        with np.load(output) as arrays:
            assert arrays["output_0"].shape == (1, 3)
            np.testing.assert_allclose(arrays["output_0"][0], expected, rtol=1e-6)
    run_inference(model, inputs, tmp_path / "out", SPEC, 2, 2, silent)
    (tmp_path / "out" / "zz.npz").write_bytes(b"x")
    with pytest.raises(VaccFileInvalid, match=r"already holds zz\.npz"):
        run_inference(model, inputs, tmp_path / "out", SPEC, 2, 2, silent)
    assert len(made.files) == 3


def test_a_list_with_absent_entries(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"{path}\n/nowhere/a.npz\n/nowhere/b.npz\n\n")
    with pytest.raises(VaccFileInvalid, match=r"2 of 3 files .* \(the first: /nowhere/a\.npz\)"):
        read_datalist(path)
    assert len(read_datalist(path, must_exist=False)) == 3
    path.write_text("\n")
    with pytest.raises(VaccFileInvalid, match="is empty"):
        read_datalist(path)


class Canary:
    """Would run code if anybody unpickled it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.path,)


def test_pickled_objects_are_refused_and_never_run(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "a.npz"
    np.savez(path, output_0=np.array([Canary(canary)], object), input_0=np.array([None], object))
    with pytest.raises(VaccFileInvalid, match="pickled object, which could run code"):
        read_output(path)
    with pytest.raises(VaccFileInvalid, match="pickled object, which could run code"):
        read_input(path)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"output_0": np.zeros((22, 1000))},
            "holds the scores of 22 images, but a file holds one image",
        ),
        ({"output_0": np.zeros((1, 4, 5))}, r"expected \[1, classes\]"),
        ({"output_0": np.array([[np.nan, 1]])}, "not finite"),
        ({"output_0": np.array([["a", "b"]])}, "not numbers"),
        ({"output_1": np.zeros((1, 4))}, "holds output_1, and no output_0"),
    ],
)
def test_what_is_no_output_of_one_image(
    tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(VaccFileInvalid, match=sentence):
        read_output(tmp_path / "a.npz")


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for content in (b"", b"PK\x03\x04 cut", b"text"):
        path.write_bytes(content)
        with pytest.raises(VaccFileInvalid, match="damaged or not an npz file"):
            read_output(path)
    with pytest.raises(VaccFileInvalid, match="cannot be read: No such file"):
        read_output(tmp_path / "none.npz")
    for shape in ((4, 5, 6), (3, 0, 5)):
        np.savez(path, input_0=np.zeros(shape, np.uint8))
        with pytest.raises(VaccFileInvalid, match="expected uint8"):
            read_input(path)


def test_outputs_of_another_run_are_not_paired(tmp_path: Path) -> None:
    inputs = [Path(f"/npz/{name}.npz") for name in "ab"]
    folder = tmp_path / "out"
    folder.mkdir()
    write_output(folder / "000000_a.npz", np.zeros(5))
    with pytest.raises(VaccFileInvalid, match="holds 1 outputs and the list names 2 inputs"):
        pair_outputs(inputs, folder)
    write_output(folder / "000001_x.npz", np.zeros(5))
    with pytest.raises(VaccFileInvalid, match="is the output of x, but line 2 of the list names b"):
        pair_outputs(inputs, folder)
    (folder / "000001_x.npz").unlink()
    write_output(folder / "000001_b.npz", np.zeros(6))
    with pytest.raises(VaccFileInvalid, match="6 scores, but the outputs before it have 5"):
        list(decode_outputs(pair_outputs(inputs, folder), None, None, silent))


def test_the_benchmarks_own_layouts() -> None:
    figures = ReportFigures(
        side=224,
        outputs=1000,
        instances=8,
        processes=2,
        devices=(0,),
        batch=22,
        samples=1024,
        elapsed_s=9.78984,
        latencies_ms=np.array([1.0, 2.0, 6.0]),
        started=datetime(2024, 1, 4, 14, 5, 14),
        ended=datetime(2024, 1, 4, 14, 5, 24),
    )
    today, of_2023 = (format_report(figures, layout).splitlines() for layout in (2, 1))
    assert today[:11] == of_2023[:11]
    assert "Inference start time: [2024-01-04 14:05:14]" in today
    assert "number of samples in each process: 512" in today
    assert today[12:] == [
        "- number of instances in each device: 8",
        "devices: [0]",
        "batch size: 22",
        "samples: 1024",
        "forwad time (s): 9.78984",
        "throughput (qps): 104.598",
        "ai utilize (%): n/a",
        "die memory used (MB): n/a",
        "e2e latency (us):",
        "    avg latency: 3000",
        "    min latency: 1000",
        "    max latency: 6000",
        "model latency (us):",
        "    avg latency: n/a",
        "    min latency: n/a",
        "    max latency: n/a",
    ]
    names = [line.strip().split(" latency")[0] for line in of_2023 if " latency: " in line]
    assert names == ["avg", "min", "max", "p50", "p90", "p95", "p99"] * 2
    assert "    p50 latency: 2000" in of_2023
    assert "card power (W): n/a" in of_2023

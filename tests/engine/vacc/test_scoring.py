"""Scores of the vendor's outputs: by index, and by name as the old scripts do it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from db.models import Evaluation
from db.session import reading
from engine.cli.main import main
from engine.datasets.imagenet import class_names, wnid_to_index
from engine.datasets.label_files import LabelOptions
from engine.errors import VaccFileInvalid
from engine.vacc.labels import find_labels
from engine.vacc.npz import write_output
from engine.vacc.result_lines import TopClasses, format_lines, read_lines

WNIDS = list(wnid_to_index())
CRANE_BIRD, CRANE_MACHINE, CASH_MACHINE = 134, 517, 480


def imagenet_txt(path: Path) -> Path:
    """The vendor's list of names: that of class 480 is cut short."""
    names = list(class_names())
    names[CASH_MACHINE] = names[CASH_MACHINE].removesuffix(", automatic teller, ATM")
    path.write_text("".join(f"{name}\n" for name in names))
    return path


def outputs(folder: Path, truths: list[int], guesses: list[int]) -> tuple[Path, Path]:
    """(list, folder of outputs): image i is of truths[i] and looks like guesses[i]."""
    random = np.random.default_rng(0)
    made = folder / "out"
    made.mkdir()
    lines = []
    for number, (truth, guess) in enumerate(zip(truths, guesses, strict=True)):
        lines.append(f"/npz/{WNIDS[truth]}/image_{number}.npz\n")
        scores = random.random(1000).astype(np.float32)
        scores[guess] = 2
        write_output(made / f"{number:06d}_image_{number}.npz", scores)
    (folder / "list.txt").write_text("".join(lines))
    return folder / "list.txt", made


def old_decoder(datalist: Path, folder: Path, names: list[str]) -> str:
    """What the vendor's decoder writes, in its own order of equal scores."""
    text = ""
    results = sorted(path.name for path in folder.iterdir())
    for line, result in zip(datalist.read_text().splitlines(), results, strict=True):
        scores = np.squeeze(np.load(folder / result)["output_0"])
        for rank, index in enumerate(scores.argsort()[-5:][::-1]):
            text += f"{line}: Relay top-{rank} id: {index}, prob: {scores[index]:.8f}, "
            text += f"class name: {names[index]}\n"
    return text


TRUTHS = [0, 1, CRANE_BIRD, CRANE_MACHINE, CASH_MACHINE, 7]
GUESSES = [0, 9, CRANE_MACHINE, CRANE_MACHINE, CASH_MACHINE, 7]


def test_the_decoder_writes_the_vendors_lines(tmp_path: Path) -> None:
    datalist, made = outputs(tmp_path, TRUTHS, GUESSES)
    names = imagenet_txt(tmp_path / "imagenet.txt")
    result = tmp_path / "result.txt"
    assert main(["vamp_npz_decode", str(datalist), str(made), str(result), str(names)]) == 0
    assert result.read_text() == old_decoder(datalist, made, names.read_text().splitlines())


def test_equal_scores_go_by_index_or_as_numpy_sorts_them(tmp_path: Path) -> None:
    datalist, made = outputs(tmp_path, [0], [0])
    scores = np.zeros(1000, np.float32)
    scores[[3, 8, 900]] = 1
    write_output(made / "000000_image_0.npz", scores)
    names = imagenet_txt(tmp_path / "imagenet.txt")
    call = ["vamp_npz_decode", str(datalist), str(made), str(tmp_path / "r.txt"), str(names)]
    assert main(call) == 0
    with (tmp_path / "r.txt").open() as stream:
        assert next(read_lines(stream, "r")).ids == (3, 8, 900, 0, 1)
    assert main([*call, "--old-ties"]) == 0
    expected = old_decoder(datalist, made, names.read_text().splitlines())
    assert (tmp_path / "r.txt").read_text() == expected


def test_by_index_and_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    datalist, made = outputs(tmp_path, TRUTHS, GUESSES)
    names, result = imagenet_txt(tmp_path / "imagenet.txt"), tmp_path / "result.txt"
    assert main(["vamp_npz_decode", str(datalist), str(made), str(result), str(names)]) == 0
    assert main(["eval_topk", str(result)]) == 0
    by_index = capsys.readouterr().out
    assert by_index == "[VACC]:  top1_rate: 66.667 top5_rate: 66.667\n", "0, 517, 480 and 7"
    assert main(["eval_topk", str(result), "--by-name", "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    # The bird passes for the machine, and the cash machine's name never matches.
    assert document["changed"] == [2, 2]
    assert document["line"] == "[VACC]:  top1_rate: 66.667 top5_rate: 66.667"
    assert "changes 2 images in top-1 and 2 in top-5" in " ".join(captured.err.split())
    call = ["eval_imagenet", "--result_path", str(made), "--datalist", str(datalist)]
    for more in ([], ["--label", str(names)]):
        assert main([*call, *more, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["top1_count"], document["top5_count"]) == (4, 4)
        assert (
            document["line"] == "[VACC]:  top1_rate: 66.66666666666666 top5_rate: 66.66666666666666"
        )
    assert main([*call, "--label", str(names), "--by-name", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == [2, 2]


def test_a_label_file_is_found_by_the_stem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    datalist, made = outputs(tmp_path, [1, 2, 3], [4, 5, 3])
    labels = tmp_path / "val_label.txt"
    labels.write_text("image_0.JPEG 4\nimage_1.JPEG 5\nimage_2.JPEG 6\n")
    lines = tmp_path / "lines.txt"
    call = ["eval_imagenet", "--result_path", str(made), "--datalist", str(datalist)]
    call += ["--label", str(labels), "--result-lines", str(lines)]
    assert main([*call, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1_count"] == 2
    assert len(lines.read_text().splitlines()) == 15
    labels.write_text("image_0.JPEG 4\n")
    assert main([*call, "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert "2 of 3 images have no line in val_label.txt (the first: /npz/" in error


@pytest.mark.parametrize(
    "line",
    [
        *("./val/{n}.JPEG, {i}", "{n} {i}", "{n}.JPEG\t{w}", "{n},{w} 1 2 3 4"),
        *("C:\\val\\{n}.JPEG {i}", "/data/{n}.JPEG {w}"),
    ],
)
def test_label_files_of_any_form_say_the_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    datalist, made = outputs(tmp_path, [1, 2, 3], [4, 5, 3])
    labels = tmp_path / "labels"
    rows = [line.format(n=f"image_{n}", i=i, w=WNIDS[i]) for n, i in enumerate((4, 5, 6))]
    labels.write_text("".join(f"{row}\n" for row in rows))
    call = ["eval_imagenet", "--result_path", str(made), "--datalist", str(datalist)]
    assert main([*call, "--label", str(labels), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1_count"] == 2


def test_outputs_of_fewer_classes_are_those_of_the_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    datalist, made = outputs(tmp_path, [7, 500, 900], [0, 0, 0])
    for number, guess in enumerate((0, 1, 0)):
        write_output(made / f"{number:06d}_image_{number}.npz", np.eye(3, dtype=np.float32)[guess])
    call = ["eval_imagenet", "--result_path", str(made), "--datalist", str(datalist)]
    assert main([*call, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["top1_count"] == 2
    assert "sorted by wnid" in " ".join(captured.err.split())
    write_output(made / "000000_image_0.npz", np.arange(1001, dtype=np.float32))
    assert main([*call, "--json"]) == 1
    assert "`eval_imagenet` takes `--background 0`" in json.loads(capsys.readouterr().out)["error"]


def test_a_line_that_is_missing_shifts_nobody() -> None:
    ranked = [
        TopClasses(f"/a/n0/{n}.npz", (1, 2, 3, 4, 5), (0.5,) * 5, ("x: y",) * 5) for n in "ab"
    ]
    lines = [line for one in ranked for line in format_lines(one)]
    del lines[2]
    first, second = read_lines(lines, "r.txt")
    assert (first.ids, second.ids) == ((1, 2, 4, 5), (1, 2, 3, 4, 5))
    assert first.names[0] == "x: y", "a colon is no separator"
    windows = "C:\\npz\\n01440764\\a.npz: Relay top-0 id: 3, prob: 0.50000000, class name: tench"
    assert next(read_lines([windows], "r.txt")).path == "C:\\npz\\n01440764\\a.npz"
    with pytest.raises(VaccFileInvalid, match=r"r\.txt, line 1: expected '<path>: Relay top-<k>"):
        next(read_lines(["nonsense"], "r.txt"))


def test_images_without_a_class_are_named() -> None:
    with pytest.raises(VaccFileInvalid, match=r"1 of 2 images are not in a folder named by a wnid"):
        find_labels(["/a/n01440764/x.npz", "/a/flat/y.npz"], LabelOptions())


def test_outputs_are_recorded_as_an_imported_evaluation(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truths = list(range(40))
    datalist, made = outputs(tmp_path, truths, [*truths[:30], *[99] * 10])
    call = ["eval_imagenet", "--result_path", str(made), "--datalist", str(datalist)]
    call += ["--record", "timm/seresnet50", "-p", "int8", "--json"]
    assert main(call) == 1
    assert "--record needs --source" in json.loads(capsys.readouterr().out)["error"]
    call += ["--source", "card X, vamp 2.1", "--dataset", "forty"]
    assert main(call) == 0
    document = json.loads(capsys.readouterr().out)
    with reading(url) as session:
        row = session.scalar(select(Evaluation))
    assert row is not None
    assert (row.id, row.imported_digest is not None) == (document["evaluation"], True)
    assert (row.top1_count, row.top5_count, row.images) == (30, document["top5_count"], 40)


LINE = "/n01440764/a.JPEG: Relay top-{rank} id: {id}, prob: {prob}, class name: tench"


@pytest.mark.parametrize(
    "prob", ["0x1F", "nan", "inf", "1_0", "1e999", "1.2.3", "", "٣", "9" * 5000]
)
def test_what_is_no_score_is_refused_with_its_line(prob: str) -> None:
    with pytest.raises(VaccFileInvalid, match=r"r\.txt, line 1: expected .* found '/n01440764"):
        list(read_lines([LINE.format(rank=0, id=1, prob=prob)], "r.txt"))


@pytest.mark.parametrize(
    "line",
    [
        LINE.format(rank=0, id="9" * 23, prob=0.5),
        LINE.format(rank="9" * 5000, id=1, prob=0.5),
        "a" * 100_000,
        "/\x1b[31m" + LINE.format(rank=0, id=1, prob=0.5),
    ],
)
def test_lines_beyond_everything_are_quoted_in_part(line: str) -> None:
    with pytest.raises(VaccFileInvalid, match=r"r\.txt, line 1: expected") as caught:
        list(read_lines([line], "r.txt"))
    assert len(str(caught.value)) < 400


def test_scores_of_any_size_are_read() -> None:
    for score in (3.4e38, -1e-8, 0.0):
        (found,) = read_lines([LINE.format(rank=0, id=1, prob=f"{score:.8f}")], "r.txt")
        assert found.scores == (float(f"{score:.8f}"),)


def test_one_rank_stands_once(tmp_path: Path) -> None:
    with pytest.raises(VaccFileInvalid, match="several lines of the same rank"):
        list(read_lines([LINE.format(rank=0, id=1, prob=0.5)] * 5, "r.txt"))

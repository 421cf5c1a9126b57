"""The command line as a person and as a machine calls it."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import openpyxl
import pytest
import typer
import typer.main

from db.enums import Precision
from engine.cli.commands import load_command
from engine.cli.main import app, main
from engine.cli.option_groups import expand_groups
from engine.cli.options import (
    RENAMED_OPTIONS,
    int_list_parser,
    merge_values,
    with_current_names,
)
from engine.cli.output import emit_table
from engine.cli.parsing import read_preprocess, read_weights
from engine.common.program import program
from engine.config import REPOSITORY, settings
from engine.errors import InvalidRequest
from engine.preprocess.spec import PIXEL_SCALE
from engine.results.columns import columns_in_set
from engine.results.precision_pairs import paired_top1_difference
from tests.support import rows
from tests.support.tiny import image_folder, store_build, tiny_se_model

pytestmark = pytest.mark.integration


def commands() -> dict[str, str]:
    """Every command with its help text, groups included."""
    found: dict[str, str] = {}
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        for sub, leaf in (inner or {"": command}).items():
            found[f"{name} {sub}".strip()] = leaf.help or ""
    return found


@dataclass(frozen=True, slots=True)
class Sides:
    """A group of options, for `grouped`."""

    long: Annotated[int, typer.Option("--long", "-l")] = 2
    short: Annotated[int | None, typer.Option()] = None


def test_a_group_of_options_reaches_its_command_as_one_value() -> None:
    @expand_groups
    def command(name: str, *, sides: Sides, loud: bool = False) -> str:
        return f"{name} {sides.long} {sides.short} {loud}"

    assert list(inspect.signature(command).parameters) == ["name", "long", "short", "loud"]
    called = typer.Typer()
    called.command()(command)
    assert called(["a", "-l", "3", "--loud"], standalone_mode=False) == "a 3 None True"


WANTED = [
    "models",
    "export",
    "build",
    "benchmark",
    "evaluate",
    "classify",
    "run",
    "demo",
    "results",
    "jobs list",
    "jobs show",
    "jobs cancel",
    "jobs retry",
    "dataset add",
    "dataset list",
    "dataset check",
    "dataset cache",
    "evaluation list",
    "evaluation show",
    "evaluation relabel",
    "compare",
    "import evaluation",
    "import benchmark",
    "weights add",
    "weights list",
    "weights remove",
]


def test_the_commands_are_all_there() -> None:
    assert set(WANTED) <= set(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_help_teaches_by_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"`{program()} {name}" in commands()[name]
    assert main([*name.split(), "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_models_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 25
    assert rows[0]["model_id"] == "timm/seresnet50"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            ["export", "timm/x", "--weights", "/nowhere.pth"],
            "The weights file /nowhere.pth does not exist",
        ),
        (["run", "mmcls/none"], "There is no model 'mmcls/none'"),
        (["evaluate", "timm/seresnet50", "-p", "fp32"], "Evaluate needs a dataset"),
        (["evaluate", "abcdef12"], "Evaluate needs --dataset"),
        (["jobs", "show", "5"], "There is no job 5"),
        (["jobs", "cancel", "5"], "There is no job 5"),
        (["jobs", "retry", "5"], "There is no job 5"),
        (["dataset", "check", "none"], "There is no dataset 'none'"),
        (["classify", "x.png"], "There is no build yet"),
        (["run", "timm/x", "--mean", "a,b,c"], "--mean must be three numbers"),
        (["run", "timm/x", "--scale", "1/0"], "--scale must be a number, such as 1 or 1/255"),
        (["export", "timm/x", "--mean", "124,116,104"], "If it takes pixels from 0 to 255, use"),
        (["run", "timm/x", "--scale", "1", "-d", "demo"], "The mean 0.485,0.456,0.406 and the std"),
        (["export", "timm/x", "--weights", "random", "--weights-key", "ema"], "leave it out"),
        (
            ["export", "onnx/x", "--weights", "x.onnx", "--weights-key", "ema"],
            "has one set of weights",
        ),
        (["dataset", "add", "../up", "."], "name: String should match pattern"),
        (["jobs", "cancel"], "Give the number of a job, or --run"),
        (["jobs", "cancel", "--run", "5"], "There is no run 5"),
        (["benchmark", "abcdef12"], "No artifact starts with 'abcdef12'"),
        (
            ["benchmark", "timm/x", "--scenario", "server", "--weights", "random"],
            "Scenario server needs a limit on the p99",
        ),
        (
            ["benchmark", "timm/x", "-b", "1,2", "--scenario", "single-stream"],
            "one image at a time",
        ),
        (
            ["benchmark", "timm/x", "--scenario", "offline", "--max-latency", "5"],
            "apply to scenario server only",
        ),
    ],
)
def test_errors_are_one_sentence_and_exit_code_1(
    call: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*call, "--json"]) == 1
    captured = capsys.readouterr()
    assert sentence in json.loads(captured.out)["error"]
    assert "Error: " in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    "call",
    [
        ["nonsense"],
        ["export"],
        ["run", "m", "--batch", "0"],
        ["benchmark", "m", "--batch", "1,two"],
        ["benchmark", "m", "-i", "1,,2"],
        ["benchmark", "m", "-t", "-1"],
        ["benchmark", "m", "--scenario", "multi-stream"],
    ],
)
def test_a_wrong_call_is_exit_code_2(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(call) == 2
    assert capsys.readouterr().out == ""


FAR = "99999999999999999999999"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (["evaluation", "show", FAR], f"There is no evaluation {FAR}; `evaluation list` shows"),
        (["evaluation", "show", "9" * 5000], "There is no evaluation 999"),
        (["evaluation", "show", "-1"], "No such option"),
        (["evaluation", "show", "x"], "There is no evaluation x;"),
        (["compare", "1", FAR], f"There is no evaluation {FAR}"),
        (["jobs", "show", FAR], f"There is no job {FAR}; `jobs list` shows them."),
        (["jobs", "cancel", FAR], f"There is no job {FAR}"),
        (["jobs", "cancel", "--run", FAR], f"There is no run {FAR}"),
        (["jobs", "retry", FAR], f"There is no job {FAR}"),
        (["jobs", "list", "--limit", FAR], "Input should be less than or equal to"),
        (["build", "timm/seresnet50", "--seed", FAR], "Input should be less than or equal to"),
        (["import", "evaluation", "x", "-m", "x", "-p", "fp32", "--source", "x", "-d", "x",
          "--background", FAR], "Input should be less than or equal to"),
        (["export", "timm/../../etc", "--detach"], "looks like a path"),
        (["export", "x" * 5000, "--detach"], "There is no model 'xxx"),
        (["results", "-o", "/nowhere/at/all/x.csv"], "cannot be written: No such file"),
        (["vamp", "-m", "a" * 5000], "is not a build"),
        (["classify", "x.jpg", "-a", "%"], "No artifact starts with '%'"),
        (["build", "timm/seresnet50", "--weights", "~nobody/x", "--detach"],
         "The weights file ~nobody/x does not exist"),
    ],
)  # fmt: skip
def test_names_and_numbers_beyond_everything_get_one_sentence(
    call: list[str], sentence: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(call) in (1, 2)
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said) < 1000


def test_names_are_text_in_every_table(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "p.npy", np.arange(200) // 20)
    names = [
        "-m",
        "onnx/[/] :warning:",
        "--source",
        "[/] [red]x[/red]",
        "-d",
        "[bold]",
        "-p",
        "fp32",
    ]
    assert (
        main(["import", "evaluation", str(tmp_path / "p.npy"), *names, "--images-per-class", "20"])
        == 0
    )
    card = {"model": "onnx/[/]", "precision": "int8", "source": "[/]", "device": "[/]"}
    (tmp_path / "b.json").write_text(json.dumps({**card, "images_per_s": 5}))
    assert main(["import", "benchmark", str(tmp_path / "b.json")]) == 0
    for call in (["results"], ["results", "--model", "[/]"], ["evaluation", "list"]):
        capsys.readouterr()
        assert main(call) == 0
        said = capsys.readouterr()
        assert "onnx/[/] :warning:" in said.out + said.err
    assert main(["evaluation", "show", "1"]) == 0
    assert "on [bold]" in capsys.readouterr().out
    emit_table("[/]", ("[/]", "n"), [("[red]a\x1b[1m\0", float("inf")), (None, 1)])
    printed = capsys.readouterr().out
    assert "[red]a\\x1b[1m\\x00" in printed
    assert "\x1b" not in printed


def test_detach_queues_starts_the_dispatcher_and_returns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr("engine.cli.follow.ensure_dispatcher", lambda: started.append(True))
    monkeypatch.setattr("engine.cli.jobs.ensure_dispatcher", lambda: False)
    assert main(["export", "timm/seresnet50", "--weights", "random", "--detach", "--json"]) == 0
    queued = json.loads(capsys.readouterr().out)
    assert started
    assert len(queued["jobs"]) == 1
    assert main(["jobs", "cancel", str(queued["jobs"][0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "cancelled"
    assert main(["jobs", "list", "--status", "cancelled", "--json"]) == 0
    assert [job["id"] for job in json.loads(capsys.readouterr().out)] == queued["jobs"]


def test_classify_answers_for_each_image_and_build(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_build(url, tiny_se_model(), Precision.FP32)
    store_build(url, tiny_se_model(), Precision.INT8)
    folder = image_folder(tmp_path / "set", per_class=1)
    good, bad = folder / "class0" / "000.png", tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:40])
    assert main(["classify", str(bad), str(good), "--json"]) == 1, "one image was refused"
    answers = json.loads(capsys.readouterr().out)
    assert "bad.png" in answers[0]["error"]
    assert [a["precision"] for a in answers[1:]] == ["fp32", "int8"]
    for answer in answers[1:]:
        probabilities = [guess["probability"] for guess in answer["top5"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-5), "four classes are all of them"
    assert main(["classify", str(folder), "--csv"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.startswith("image,true_index,true_class,model,precision,runtime")
    assert len(lines) == 2 * len(list(folder.rglob("*.png"))), (
        "each image of the folder, two builds"
    )
    assert main(["classify", str(tmp_path / "set"), "--csv", "--json"]) == 1
    (tmp_path / "empty").mkdir()
    assert main(["classify", str(tmp_path / "empty")]) == 1
    assert "holds no image" in capsys.readouterr().err


def test_exports_have_the_chosen_columns(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.add_measured_model(url)
    assert main(["results", "-f", "markdown"]) == 0
    header = capsys.readouterr().out.splitlines()[0]
    assert header.count("|") == len(columns_in_set("Summary")) + 1
    assert main(["results", "-f", "latex", "--columns", "model_id,top1"]) == 0
    assert "79.30" in capsys.readouterr().out
    assert main(["results", "--json", "--columns", "precision"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert sorted(row["precision"] for row in shown) == ["fp16", "fp32", "int8"]
    assert {*shown[0]} == {"precision"}
    assert main(["results", "-f", "csv", "--columns", "speed"]) == 1
    assert "no column speed" in capsys.readouterr().err
    assert main(["results", "-f", "html", "--columns", "model_id,top1"]) == 0
    assert capsys.readouterr().out.count("<th ") == 2
    assert main(["results", "-f", "excel"]) == 1
    assert main(["results", "-f", "excel", "-o", str(tmp_path / "r.xlsx")]) == 0
    sheet = openpyxl.load_workbook(tmp_path / "r.xlsx").active
    assert sheet.max_row == 4


def test_results_are_written_to_a_file(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_build(url, tiny_se_model())
    target = tmp_path / "results.md"
    assert main(["results", "--format", "markdown", "--output", str(target)]) == 0
    assert "onnx/tiny" in target.read_text()
    assert main(["results", "--model", "nothing", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_weights_and_preprocessing_are_read() -> None:
    assert read_weights("random", 3).seed == 3
    assert read_weights("w.pth").path == "w.pth"
    assert read_preprocess(None) is None
    assert read_weights("w.pth", key="model_ema").key == "model_ema"
    assert read_preprocess(None, crop=96, std="1,1,1") == {"crop": 96, "std": [1.0, 1.0, 1.0]}
    assert read_preprocess(None, scale="1/255") == {"scale": PIXEL_SCALE}
    assert read_preprocess(None, scale="1") == {"scale": 1.0}


def test_a_preprocessing_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("{")
    with pytest.raises(InvalidRequest, match=r"p\.json is not a readable JSON file"):
        read_preprocess(path)


def test_a_preprocessing_file_that_is_no_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("[224]")
    with pytest.raises(InvalidRequest, match=r"p\.json must hold one JSON object"):
        read_preprocess(path)


def engine(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command, from the repository's root."""
    return subprocess.run(
        [sys.executable, "-m", "engine", *arguments],
        cwd=REPOSITORY,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_a_dataset_with_missing_labels_fails_the_job_and_the_command(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "set", per_class=2)
    for image in (folder / "class0").iterdir():
        image.rename(folder / image.name)
    (folder / "val_label.txt").write_text("000.png 1\n")
    result = engine("dataset", "add", "bad", str(folder), "--json")
    assert result.returncode == 1
    document = json.loads(result.stdout)
    assert document["status"] == "failed"
    assert "1 of 2 images have no line in val_label.txt" in document["error"]


def test_a_hostile_checkpoint_is_refused_and_never_executed(tmp_path: Path) -> None:
    import pickle

    canary = tmp_path / "canary"

    class Hostile:
        """Would touch the canary if anybody unpickled it."""

        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {canary}",)

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"state_dict": Hostile()}))
    result = engine("export", "timm/legacy_seresnet18", "--weights", str(path), "--json")
    assert result.returncode == 1
    job = json.loads(result.stdout)["jobs"][0]
    assert job["status"] == "failed"
    assert "evil.pth" in job["error"]
    assert not canary.exists()


OLD_CALLS = {
    "--again": ["benchmark", "timm/x", "--again"],
    "--anyway": ["compare", "1", "2", "--anyway"],
    "--arrivals-seed": ["benchmark", "timm/x", "--arrivals-seed", "5"],
    "--batches": ["run", "timm/x", "--batches", "1,2"],
    "--calibrate": ["build", "timm/x", "--calibrate", "max"],
    "--calibrate-on": ["profile", "timm/x", "--calibrate-on", "train"],
    "--color": ["export", "timm/x", "--color", "bgr"],
    "--instances": ["run", "timm/x", "--instances=2"],
    "--keep-in-float": ["build", "timm/x", "--keep-in-float", "0,4"],
    "--latency-limit": ["benchmark", "timm/x", "--latency-limit", "9"],
    "--limit": ["evaluate", "timm/x", "--limit", "77"],
    "--max-drop": ["build", "timm/x", "--max-drop", "0.25"],
    "--max-seconds": ["run", "timm/x", "--max-seconds=12.5"],
    "--most": ["evaluation", "show", "1", "--most", "3"],
    "--per-class": ["import", "evaluation", "f", "--per-class", "50"],
    "--percentile": ["benchmark", "timm/x", "--percentile", "p99"],
    "--rate": ["benchmark", "timm/x", "--rate", "33.5"],
    "--resizer": ["run", "timm/x", "--resizer", "opencv"],
    "--via": ["export", "timm/x", "--via", "paddle2onnx"],
}
IMPORT_OPTIONS = ["-m", "x", "-p", "fp32", "--source", "x", "-d", "x"]
MORE_OLD_CALLS = [
    ["build", "timm/x", "--percentile", "99.9"],
    ["compare", "1", "2", "--most", "3"],
    ["peak", "--again"],
    ["profile", "timm/x", "--most", "3"],
    ["run", "timm/x", "--limit", "77"],
]


def test_each_renamed_option_has_a_call() -> None:
    assert set(OLD_CALLS) == set(RENAMED_OPTIONS)


@pytest.mark.parametrize("call", [*OLD_CALLS.values(), *MORE_OLD_CALLS], ids=" ".join)
def test_an_earlier_option_name_still_works_and_is_hidden(
    call: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = load_command(call[0])
    command = getattr(command, "commands", {}).get(call[1], command)
    received: list[dict[str, object]] = []

    def receive(**values: object) -> int:
        received.append(values)
        return 0

    monkeypatch.setattr(command, "callback", receive)
    name = next(word.partition("=")[0] for word in call if word.startswith("--"))
    present = {option for parameter in command.params for option in parameter.opts}
    current = next(new for new in RENAMED_OPTIONS[name] if new in present)
    given = IMPORT_OPTIONS if call[0] == "import" else []
    assert main([*call, *given]) == 0
    assert main([*(word.replace(name, current) for word in call), *given]) == 0
    assert received[0] == received[1]
    defaults = {parameter.name: parameter.default for parameter in command.params}
    changed = next(p.name for p in command.params if current in p.opts)
    assert received[0][str(changed)] != defaults[changed]
    assert name not in present
    assert main([*call[: 1 + (call[0] in ("evaluation", "import"))], "--help"]) == 0
    assert f"{name} " not in capsys.readouterr().out


def test_words_after_two_dashes_are_no_options() -> None:
    assert with_current_names(["--", "--again"], {"--ignore-cached"}) == ["--", "--again"]


def test_numbers_are_given_in_a_list_or_one_by_one() -> None:
    read = int_list_parser(0, 64)
    assert merge_values([read("1,2"), read("8"), read("2, 16")], "batches") == (1, 2, 8, 16)
    assert merge_values(None, "batches") == (1,)
    assert merge_values([read("0")], "batches") == (0,)


def test_a_sweep_names_its_sweet_spot_and_is_not_measured_twice(url: str) -> None:
    digest = store_build(url, tiny_se_model()).digest
    call = ["benchmark", digest, "-b", "1,2", "-t", "1", "--max-duration", "1"]
    first = engine(*call, "--max-latency", "5000", "--json")
    assert first.returncode == 0, first.stderr
    spot = json.loads(first.stdout)["sweet_spot"]
    assert (spot["points"], spot["keeping"], spot["percentile"]) == (2, 2, "p90")
    assert spot["sentence"].startswith("Best operating point: onnx/tiny fp32 at batch ")
    assert spot["row"]["images_per_s"] == max(r["images_per_s"] for r in spot["frontier"])
    again = engine(*call, "--max-latency", "0.001")
    assert again.returncode == 0, again.stderr
    said = " ".join(again.stderr.split())  # lines are folded for people
    assert "Reused 2 results." in said
    assert "None of 2 points meets p90 <= 0.001 ms" in said


@pytest.mark.databases("postgresql")
def test_the_demo_from_a_terminal(url: str) -> None:
    """On a PostgreSQL server; in the browser it runs on SQLite."""
    result = engine("demo", "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert {job["status"] for job in document["jobs"]} == {"succeeded"}
    rows = {row["precision"]: row for row in document["results"]}
    assert set(rows) == {"fp32", "fp16", "int8"}
    assert 85 <= rows["fp32"]["top1"] <= 97
    assert rows["fp32"]["images"] >= 2000
    pair = paired_top1_difference(
        rows["fp32"]["evaluation_id"], rows["int8"]["evaluation_id"], settings().url
    )
    assert pair.only_a + pair.only_b > 0, "the precisions differ on some images"
    for row in rows.values():
        assert row["images_per_s"] > 0
        assert row["top1_low"] < row["top1"] < row["top1_high"]

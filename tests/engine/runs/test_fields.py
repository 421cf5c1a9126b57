"""Every field of a request is in the table, on the command line, and among the facts of a run."""

from __future__ import annotations

from dataclasses import fields as settings_of
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.cli import runs as commands
from engine.cli.main import main
from engine.errors import InvalidRequest
from engine.preprocess import PreprocessSpec
from engine.preprocess.protocols import VENDOR
from engine.preprocess.spec import PIXEL_SCALE
from engine.runs.compile import compile
from engine.runs.fields import (
    DEFAULTS,
    FIELDS,
    format_number,
    format_scale,
    parse_channel_values,
    parse_layer_indices,
    parse_number,
    request_facts,
)
from engine.runs.request import DEMO, OtherModel, RunRequest, Task
from engine.specs import WeightsSpec
from tests.support.requests import OTHER_VALUES

DERIVED = {name for name, field in FIELDS.items() if field.derived}


def test_the_table_has_each_field_once_and_no_other() -> None:
    models = {
        *RunRequest.model_fields,
        *(f"weights.{name}" for name in WeightsSpec.model_fields),
        *(f"preprocess.{setting.name}" for setting in settings_of(PreprocessSpec)),
    }
    assert set(FIELDS) == set(DEFAULTS) == models
    labels = [field.label for name, field in FIELDS.items() if "." not in name]
    assert len(set(labels)) == len(labels)


def test_there_is_another_value_for_each_field() -> None:
    assert set(OTHER_VALUES) == set(RunRequest.model_fields) - DERIVED - {"model_id"}
    for name, values in OTHER_VALUES.items():
        assert all(value != FIELDS[name].default for value in values), name


def test_defaults_and_choices_are_those_of_the_models() -> None:
    assert RunRequest(model_id="timm/x").batches == FIELDS["batches"].default
    for name, field in FIELDS.items():
        if not field.choices or field.default is None:
            continue
        usual = field.default if isinstance(field.default, tuple) else (field.default,)
        assert set(map(str, usual)) <= set(map(str, field.choices)), name


@pytest.mark.parametrize(
    "name", [n for n, field in FIELDS.items() if "." not in n and field.maximum is not None]
)
def test_bounds_are_those_of_the_model(name: str) -> None:
    field = FIELDS[name]
    several = isinstance(field.default, tuple)

    def holds(value: float) -> bool:
        given = int(value) if float(value).is_integer() else value
        try:
            RunRequest.model_validate({"model_id": "x", name: (given,) if several else given})
        except ValidationError:
            return False
        return True

    assert field.minimum is not None
    assert field.maximum is not None
    assert holds(field.minimum)
    assert holds(field.maximum)


# How a field is asked for on the command line; {file} is a file that is there.
CALLS: dict[str, tuple[list[str], Any]] = {
    "other_models": (["run", "timm/x", "timm/y"], (OtherModel(model_id="timm/y"),)),
    "name": (["run", "timm/x", "--name", "first"], "first"),
    "notes": (["run", "timm/x", "--notes", "why"], "why"),
    "tags": (["run", "timm/x", "--tag", "a", "--tag", "b", "--tag", "a"], ("a", "b")),
    "hosts": (["run", "timm/x", "--host", "a", "--host", "like:b"], ("a", "like:b")),
    "weights": (["run", "timm/x", "--weights", "random", "--seed", "7"],
                WeightsSpec(kind="random", seed=7)),
    "precisions": (["run", "timm/x", "-p", "int8", "-p", "fp32"], ("int8", "fp32")),
    "tasks": (["build", "timm/x"], (Task.BUILD,)),
    "dataset": (["run", "timm/x", "-d", "val"], "val"),
    "limit": (["run", "timm/x", "--max-images", "77"], 77),
    "calibration_dataset": (["run", "timm/x", "--calibration-dataset", "train"], "train"),
    "calibration_images": (["build", "timm/x", "--calibration-images", "64"], 64),
    "calibration_mode": (["build", "timm/x", "--calibration-method", "percentile"], "percentile"),
    "calibration_percentile": (["build", "timm/x", "--calibration-percentile", "99.98765"],
                               99.98765),
    "keep_in_float": (["build", "timm/x", "--exclude-layers", "4,0,4"], (0, 4)),
    "max_drop": (["build", "timm/x", "--max-accuracy-drop", "0.25"], 0.25),
    "target": (["build", "timm/x", "--target", "arm"], "arm"),
    "bias_correction": (["build", "timm/x", "--bias-correction", "accurate"], "accurate"),
    "softmax": (["build", "timm/x", "--softmax"], True),
    "batches": (["run", "timm/x", "-b", "3,8", "-b", "24"], (3, 8, 24)),
    "threads": (["run", "timm/x", "-t", "3"], (3,)),
    "instances": (["run", "timm/x", "-i", "1,6"], (1, 6)),
    "scenario": (["benchmark", "timm/x", "--scenario", "offline"], "offline"),
    "rate_per_s": (["benchmark", "timm/x", "--scenario", "server", "--max-latency", "9",
                    "--arrival-rate", "33.125"], 33.125),
    "limit_ms": (["benchmark", "timm/x", "--scenario", "server", "--max-latency", "9.75"], 9.75),
    "arrivals_seed": (["benchmark", "timm/x", "--arrival-seed", "5"], 5),
    "again": (["benchmark", "timm/x", "--ignore-cached"], True),
    "runtimes": (["run", "timm/x", "-r", "another", "-r", "onnxruntime"],
                 ("another", "onnxruntime")),
    "compare_fp32": (["build", "timm/x", "--no-compare-fp32"], False),
    "provider": (["run", "timm/x", "--provider", "CUDAExecutionProvider"],
                 "CUDAExecutionProvider"),
    "benchmark_max_s": (["run", "timm/x", "--max-duration", "12.5"], 12.5),
    "preprocess": (["run", "timm/x", "--crop", "192", "--resize", "0", "--scale", "1/255", "--mean",
                    "0.4853515625,0.456,0.406", "--channel-order", "bgr"],
                   {"crop": 192, "resize": None, "scale": PIXEL_SCALE,
                    "mean": [0.4853515625, 0.456, 0.406], "color": "bgr"}),
    "evaluation_preprocess": (["evaluate", "timm/x", "--protocol", "vendor"], VENDOR.to_dict()),
    "background": (["run", "onnx/x", "--weights", "{file}", "--background", "3"], 3),
    "output": (["run", "onnx/x", "--weights", "{file}", "--output", "scores"], "scores"),
    "format": (["export", "timm/x", "--format", "torchscript"], "torchscript"),
    "via": (["export", "timm/x", "--exporter", "paddle2onnx"], "paddle2onnx"),
}  # fmt: skip


def test_every_field_can_be_asked_for_on_the_command_line() -> None:
    assert set(CALLS) == set(RunRequest.model_fields) - DERIVED - {"model_id"}


FORMER_CALLS: dict[str, tuple[list[str], Any]] = {
    "again": (["benchmark", "timm/x", "--again"], True),
    "benchmark_max_s": (["run", "timm/x", "--max-seconds=12.5"], 12.5),
    "calibration_dataset": (["run", "timm/x", "--calibrate-on", "train"], "train"),
    "calibration_mode": (["build", "timm/x", "--calibrate", "percentile"], "percentile"),
    "instances": (["run", "timm/x", "--instances", "6"], (6,)),
    "keep_in_float": (["build", "timm/x", "--keep-in-float", "4"], (4,)),
    "preprocess": (["run", "timm/x", "--resizer", "opencv"], {"resizer": "opencv"}),
    "via": (["export", "timm/x", "--via", "paddle2onnx"], "paddle2onnx"),
}


@pytest.mark.parametrize(
    ("name", "words", "value"),
    [(name, *call) for calls in (CALLS, FORMER_CALLS) for name, call in calls.items()],
)
def test_the_command_line_carries_a_field_into_the_request(
    name: str,
    words: list[str],
    value: Any,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    caught: list[RunRequest] = []

    def queue(request: RunRequest, *others: object, **more: object) -> int:
        caught.append(request)
        return 0

    monkeypatch.setattr(commands, "queue_run", queue)
    monkeypatch.setattr("engine.cli.benchmark.queue_run", queue)
    assert main([word.format(file=tmp_path / "net.onnx") for word in words]) == 0
    (request,) = caught
    assert request.model_id == words[1]
    assert getattr(request, name) == value != FIELDS[name].default


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_a_field_that_is_not_the_default_is_among_the_facts(name: str) -> None:
    usual = request_facts(RunRequest(model_id="timm/x").to_json())
    for value in OTHER_VALUES[name]:
        asked = RunRequest.model_validate({"model_id": "timm/x", name: value})
        assert request_facts(asked.to_json()) != usual
        if name != "weights":
            assert FIELDS[name].label in request_facts(asked.to_json())


def test_facts_lose_no_digit() -> None:
    asked = RunRequest(
        model_id="timm/x",
        threads=(0, 3),
        calibration_percentile=99.9876543,
        max_drop=0.25,
        preprocess={"mean": [0.4853515625, 0.456, 0.406], "scale": PIXEL_SCALE},
        weights=WeightsSpec(kind="random", seed=7),
    )
    facts = request_facts(asked.to_json())
    assert facts["Intra-op threads"] == "all cores, 3"
    assert facts["Percentile"] == "99.9876543 %"
    assert facts["Accuracy constraint"] == "0.25 pp"
    assert facts["Preprocessing"] == "Mean 0.4853515625, 0.456, 0.406; Pixel scale 1/255"
    assert facts["Seed of random weights"] == "7"


def test_facts_of_other_versions_are_shown() -> None:
    facts = request_facts({"model_id": "timm/x", "threads": 2, "color": "red"})
    assert facts["Intra-op threads"] == "2"
    assert facts["color"] == "red"
    assert facts["Batch sizes"] == "1"


def test_numbers_are_read_as_they_are_written() -> None:
    for value in (30.0, 0.1, 99.999, 1 / 3, 5e-07, 1e30):
        assert float(format_number(value)) == value
    assert parse_number("Scale", format_scale(PIXEL_SCALE)) == PIXEL_SCALE
    assert parse_number("Scale", format_scale(0.017)) == 0.017
    assert parse_channel_values("Mean", "0.5, 0.25 1") == [0.5, 0.25, 1.0]
    assert parse_layer_indices("Layers", "4 0, 4") == (0, 4)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parse_number, "1/0"), (parse_number, "half"), (parse_channel_values, "0.5 half 1"),
        (parse_channel_values, "1 2"), (parse_layer_indices, "-1"), (parse_layer_indices, "²"),
        (parse_layer_indices, "9" * 20),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_by_name(read: Any, text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^Mean "):
        read("Mean", text)


def test_jobs_are_compiled_without_a_database() -> None:
    jobs = compile(DEMO)
    kinds = [str(job.kind) for job in jobs]
    assert kinds[:3] == ["prepare_dataset", "prepare_dataset", "export"]
    assert [kinds.count(kind) for kind in ("build", "evaluate", "benchmark")] == [3, 3, 1]
    assert all(need < place for place, job in enumerate(jobs) for need in job.needs)
    registered = compile(DEMO, images=800, registered=("demo", "demo-calibration"))
    assert [str(job.kind) for job in registered] == kinds[2:]
    assert not any(job.kind == "evaluate_shard" for job in registered)


def test_a_large_evaluation_is_compiled_to_shards_that_it_needs() -> None:
    asked = RunRequest(
        model_id="timm/x", precisions=("fp32",), tasks=(Task.EVALUATE,), dataset="val"
    )
    *_, last = jobs = compile(asked, images=50_000)
    shards = [place for place, job in enumerate(jobs) if job.kind == "evaluate_shard"]
    assert [jobs[place].params["start"] for place in shards] == list(range(0, 50_000, 1024))
    assert set(shards) < set(last.needs)
    limited = compile(asked.model_copy(update={"limit": 100}), images=50_000)
    assert [str(job.kind) for job in limited] == ["export", "build", "evaluate"]

"""A new runtime and a new precision go through the engine by their entries in two tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from db.enums import Precision
from engine.benchmark.placement import nodes_on_other_providers
from engine.cli.main import main
from engine.errors import InvalidRequest, ProviderUnavailable
from engine.results import results_frame
from engine.results.precision_pairs import precision_pairs
from engine.runs.request import RunRequest
from engine.runtimes import registry
from engine.runtimes.base import LoadOptions
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, BenchmarkSpec, EvaluateSpec
from engine.specs.precisions import (
    PRECISIONS,
    any_precision,
    bf16_missing,
    in_order,
    pairs,
    precision_names,
)
from engine.store import artifacts
from tests.support.fakes import LABEL, PRECISION, RUNTIME, FakeRuntime, fake_seam
from tests.support.measured import run_tiny
from tests.support.tiny import tiny_se_model

BOTH = ("-p", "fp32", "-p", PRECISION)
KEY_BEFORE_RUNTIMES = "d09795c67fa211dd8e23965560174869a8cfa62f28d2bb3b5a85bd9d3e5e5121"


@pytest.fixture
def seam() -> Iterator[None]:
    with fake_seam():
        yield


def test_both_are_measured_told_and_exported(
    seam: None,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_tiny(url, tmp_path, monkeypatch, *BOTH, "-r", RUNTIME) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert {row["precision"] for row in rows} == {"fp32", PRECISION}
    for row in rows:
        assert row["runtime"] == f"{RUNTIME} 0.1"
        assert row["images_per_s"] > 0
        assert row["top1"] == 100.0
        assert row["elsewhere"] is None
    asked = {(precision, device) for precision, device, _ in FakeRuntime.loaded}
    assert asked == {(name, CPU_PROVIDER) for name in ("fp32", PRECISION)}
    assert len(FakeRuntime.loaded) == 4  # a benchmark and an evaluation of each

    found = precision_pairs(results_frame(url), url, "fp32", PRECISION)
    assert len(found) == 1
    assert found["change"].iloc[0] == 0
    assert found["size_ratio"].iloc[0] == 1  # they share a file
    assert found["speed_up"].notna().all()

    assert main(["results", "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {(row["precision"], row["runtime"]) for row in table} == {
        (name, f"{RUNTIME} 0.1") for name in ("fp32", PRECISION)
    }
    for form in ("markdown", "table"):
        assert main(["results", "--format", form]) == 0
        assert PRECISION in capsys.readouterr().out


def test_int8_with_the_rest_in_bf16_is_measured_apart_with_the_same_file(
    seam: None, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("int8", "int8-bf16"):
        executed = PRECISIONS[name].runtimes | {RUNTIME}
        monkeypatch.setitem(PRECISIONS, name, replace(PRECISIONS[name], runtimes=executed))
    words = ("-p", "int8", "-p", "int8-bf16", "-r", RUNTIME, "--calibration-images", "20")
    assert run_tiny(url, tmp_path, monkeypatch, *words) == 0
    rows = results_frame(url)
    rows = rows[rows["precision"] != "fp32"]  # measured with them, for the comparison
    assert sorted(rows["precision"]) == ["int8", "int8-bf16"]
    assert rows["benchmark_id"].nunique() == rows["evaluation_id"].nunique() == 2
    assert rows["size_mb"].nunique() == 1
    one, other = (artifacts.model_path(digest) for digest in rows["artifact_digest"])
    assert one != other
    assert one.read_bytes() == other.read_bytes()
    assert rows["calibration"].nunique() == 1
    asked = {precision for precision, _, _ in FakeRuntime.loaded}
    assert asked == {"fp32", "int8", "int8-bf16"}


def test_a_measurement_in_one_runtime_is_not_that_of_another(
    seam: None, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for runtime in (RUNTIME, DEFAULT_RUNTIME):
        words = ("--runtime", runtime, "-p", "fp32")
        assert run_tiny(url, tmp_path, monkeypatch, *words) == 0
    rows = results_frame(url)
    assert len(rows) == 2  # each accuracy beside the speed in the same runtime, no product
    assert rows["artifact_digest"].nunique() == 1
    assert rows["evaluation_id"].nunique() == rows["benchmark_id"].nunique() == 2
    names = [registry.name_in(recorded) for recorded in rows["runtime"]]
    assert sorted(names) == sorted([RUNTIME, DEFAULT_RUNTIME])


def test_impossible_cells_are_left_out_and_listed(
    seam: None,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (*BOTH, "-r", DEFAULT_RUNTIME, "-r", RUNTIME)
    assert run_tiny(url, tmp_path, monkeypatch, *words) == 0
    told = capsys.readouterr()
    assert f"Not measured: {PRECISION} in {DEFAULT_RUNTIME}." in told.err
    rows = results_frame(url)
    measured = {
        (precision, registry.name_in(runtime))
        for precision, runtime in zip(rows["precision"], rows["runtime"], strict=True)
    }
    assert measured == {
        ("fp32", DEFAULT_RUNTIME),
        ("fp32", RUNTIME),
        (PRECISION, RUNTIME),
    }
    assert len(rows) == 3


@pytest.mark.parametrize(("precision", "ran"), [("fp32", "bf16"), (PRECISION, "fp32")])
def test_other_arithmetic_than_requested_is_refused(
    seam: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, ran: str
) -> None:
    monkeypatch.setattr(FakeRuntime, "ran", ran)
    path = tmp_path / "tiny.onnx"
    onnx.save(tiny_se_model(), path)
    with pytest.raises(ProviderUnavailable, match=f"would run 7 layers in {ran}; nothing"):
        registry.load(RUNTIME, path, precision, CPU_PROVIDER, LoadOptions(1))


@pytest.mark.parametrize(
    ("precision", "placement", "expected"),
    [
        ("fp32", {"CPU": 9}, None),
        ("int8", None, None),
        ("int8", {"CPU int8": 53, "CPU fp32": 12}, None),
        ("int8", {"CPU fp32": 12}, "12 layers in fp32"),
        ("int8", {"CPU int8": 53, "CPU bf16": 1}, "53 layers in int8 and 1 layer in bf16"),
        ("fp32", {"CPU int8": 5, "CPU fp32": 1}, None),  # a file that is quantized already
        ("bf16", {"CPU bf16": 5, "CPU fp32": 1}, None),
        ("bf16", {"CPU fp16": 5}, "5 layers in fp16"),
        ("int8-bf16", {"CPU int8": 5, "CPU bf16": 2, "CPU fp32": 1}, None),
        ("int8-bf16", {"CPU int8": 5}, "5 layers in int8"),
        ("int8-bf16", {"CPU int8": 5, "CPU fp32": 2}, "5 layers in int8 and 2 layers in fp32"),
        ("int8-bf16", {"CPU bf16": 5}, "5 layers in bf16"),
    ],
)
def test_arithmetic_is_that_of_the_precision(
    precision: str, placement: dict[str, int] | None, expected: str | None
) -> None:
    assert registry.other_arithmetic(precision, placement) == expected


def test_a_runtime_that_is_not_installed_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.runtimes.openvino_runtime.version_of", lambda *packages: None)
    reason = registry.why_not("openvino", "fp32")
    assert reason is not None
    assert reason.startswith("Runtime openvino is not installed: install it with `pip install")
    assert "openvino" not in registry.versions()


def test_bf16_needs_a_processor_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.runtimes.openvino_runtime.bf16_instructions", list)
    for name in ("bf16", "int8-bf16"):
        assert registry.why_not("openvino", name) == bf16_missing(name)
    assert registry.why_not("openvino", "int8") is None
    monkeypatch.setattr("engine.runtimes.openvino_runtime.bf16_instructions", lambda: ["amx_bf16"])
    assert registry.why_not("openvino", "bf16") is None
    assert registry.why_not("openvino", "int8-bf16") is None
    assert registry.why_not(DEFAULT_RUNTIME, "bf16") == (
        "Runtime onnxruntime does not execute bf16: choose runtime openvino, or choose another "
        "precision."
    )


def test_requests_of_one_runtime_are_read() -> None:
    earlier = {"model_id": "demo/senet", "runtime": RUNTIME}
    assert RunRequest.model_validate(earlier).runtimes == (RUNTIME,)
    assert RunRequest(model_id="demo/senet").runtimes == (DEFAULT_RUNTIME,)


def test_what_cannot_be_is_refused_before_it_is_queued(
    seam: None,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("-p", PRECISION, "-r", DEFAULT_RUNTIME)
    assert run_tiny(url, tmp_path, monkeypatch, *words) != 0
    assert f"{DEFAULT_RUNTIME} does not execute {PRECISION}: choose" in capsys.readouterr().err
    assert run_tiny(url, tmp_path, monkeypatch, *BOTH, "-r", "nothing") != 0
    assert "There is no runtime 'nothing': choose onnxruntime or" in capsys.readouterr().err
    assert not FakeRuntime.loaded
    with pytest.raises(InvalidRequest, match="does not execute int8"):
        registry.load(RUNTIME, tmp_path, Precision.INT8, CPU_PROVIDER, LoadOptions(1))


def test_lists_follow_the_table(seam: None) -> None:
    assert precision_names() == ["fp32", "fp16", "bf16", "int8", "int8-bf16", PRECISION]
    assert in_order() == ("fp32", "fp16", "int8")
    assert in_order(runtimes=[RUNTIME]) == ("fp32", PRECISION)
    assert any_precision() == f"fp32, fp16, bf16, int8, int8-bf16 or {PRECISION}"
    assert next(iter(pairs())) == f"{PRECISION} vs int8"
    assert registry.RUNTIMES[RUNTIME].label == LABEL


def test_without_it_everything_is_as_before() -> None:
    assert precision_names() == [str(precision) for precision in Precision]
    assert list(pairs())[:3] == ["int8 vs bf16", "int8 vs fp16", "int8 vs fp32"]
    assert list(pairs())[-4:-2] == ["int8-bf16 vs int8", "int8-bf16 vs bf16"]
    assert in_order(runtimes=["openvino"]) == ("fp32", "bf16", "int8", "int8-bf16")
    assert in_order(runtimes=["torch"]) == ("fp32",)


def test_the_default_runtime_is_in_no_key_and_another_one_is() -> None:
    digest = "a" * 64
    plain, named = (
        BenchmarkSpec(artifact=digest, window_s=1.0),
        BenchmarkSpec(artifact=digest, window_s=1.0, runtime=DEFAULT_RUNTIME),
    )
    other = BenchmarkSpec(artifact=digest, runtime=RUNTIME)
    assert "runtime" not in plain.to_json()
    assert plain.conditions_key() == named.conditions_key() == KEY_BEFORE_RUNTIMES
    assert plain.fingerprint() == named.fingerprint()
    assert other.conditions_key() != plain.conditions_key()
    assert BenchmarkSpec.model_validate(other.to_json()).runtime == RUNTIME
    assert "runtime" not in EvaluateSpec(artifact=digest, dataset="x").to_json()


def test_layers_are_told_by_device_and_arithmetic() -> None:
    assert nodes_on_other_providers({"CPU int8": 53, "CPU fp32": 12}, "CPU") is None
    assert nodes_on_other_providers({"GPU int8": 53, "CPU fp32": 12}, "GPU") == (
        "12 of 65 nodes ran on CPU fp32"
    )

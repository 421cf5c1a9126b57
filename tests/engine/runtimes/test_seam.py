"""A new runtime and a new precision go through the engine by their entries in two tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.enums import Precision
from engine.benchmark.placement import nodes_on_other_providers
from engine.cli.main import main
from engine.errors import InvalidRequest
from engine.results import results_frame
from engine.results.precision_pairs import precision_pairs
from engine.runtimes import registry
from engine.runtimes.base import LoadOptions
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, BenchmarkSpec, EvaluateSpec
from engine.specs.precisions import any_precision, in_order, pairs, precision_names
from tests.support.fakes import LABEL, PRECISION, RUNTIME, FakeRuntime, fake_seam
from tests.support.measured import run_tiny

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


def test_what_cannot_be_is_refused_before_it_is_queued(
    seam: None,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_tiny(url, tmp_path, monkeypatch, *BOTH, "-r", DEFAULT_RUNTIME) != 0
    assert f"{DEFAULT_RUNTIME} does not execute {PRECISION}: choose" in capsys.readouterr().err
    assert run_tiny(url, tmp_path, monkeypatch, *BOTH, "-r", "nothing") != 0
    assert "There is no runtime 'nothing': choose onnxruntime or" in capsys.readouterr().err
    assert not FakeRuntime.loaded
    with pytest.raises(InvalidRequest, match="does not execute int8"):
        registry.load(RUNTIME, tmp_path, Precision.INT8, CPU_PROVIDER, LoadOptions(1))


def test_lists_follow_the_table(seam: None) -> None:
    assert precision_names() == ["fp32", "fp16", "int8", PRECISION]
    assert in_order()[-1] == PRECISION
    assert any_precision() == f"fp32, fp16, int8 or {PRECISION}"
    assert next(iter(pairs())) == f"{PRECISION} vs int8"
    assert registry.is_choice()
    assert registry.RUNTIMES[RUNTIME].label == LABEL


def test_without_it_everything_is_as_before() -> None:
    assert precision_names() == [str(precision) for precision in Precision]
    assert list(pairs().values()) == [("fp16", "int8"), ("fp32", "int8"), ("fp32", "fp16")]
    assert not registry.is_choice()


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

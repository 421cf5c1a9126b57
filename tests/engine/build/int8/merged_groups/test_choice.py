"""The factor of each shape: by measured time, kept in the home, and a default elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from db.enums import Precision
from engine.build import job as build
from engine.build.int8.layer_reports import load_layer_report
from engine.build.int8.merged_groups import choice, timing
from engine.build.int8.merged_groups.choice import (
    fastest_factor,
    merge_grouped_convolutions,
)
from engine.build.int8.merged_groups.layers import ConvolutionShape
from engine.build.int8.merged_groups.timing import measure_factors, timed_model
from engine.build.int8.targets import get_target
from engine.cli.main import main
from engine.common import environment
from engine.onnx.graph_view import group_count
from engine.onnx.macs import count_compute
from engine.runtimes.observing import small_session_of
from engine.specs import BuildSpec, CalibrationSpec, TargetName
from engine.store import artifacts
from engine.store.int8_report import GroupedShape, MergedGroups
from engine.store.manifest import BuildManifest
from tests.support.exports import onnx_spec, run_export
from tests.support.grouped import grouped_model, int8_of
from tests.support.tiny import Quiet, image_folder, labeled_by

SHAPE = ConvolutionShape(16, 32, 4, (6, 5), (3, 3), (2, 1), (1, 1, 1, 1), (1, 1))


@pytest.fixture
def vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has VNNI, whatever it has."""
    monkeypatch.setattr(environment, "instruction_sets", lambda: ["avx2", "avx512_vnni"])
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


class Measured:
    """A measurement in which 4 is about the fastest factor, and 1 with a stride of 2."""

    def __init__(self) -> None:
        self.shapes: list[ConvolutionShape] = []

    def __call__(self, shape: ConvolutionShape, signed: bool) -> dict[int, float]:
        self.shapes.append(shape)
        assert not signed
        return {1: 1.0, 2: 1.2} if shape.strides == (2, 2) else {1: 2.0, 2: 1.0, 4: 0.5, 8: 0.49}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    stand_in = Measured()
    monkeypatch.setattr(choice, "measure_factors", stand_in)
    return stand_in


def merged_for(target: TargetName) -> tuple[MergedGroups | None, list[str]]:
    model, prepared = int8_of(grouped_model(), target)
    said: list[str] = []
    view = prepared.placement.view
    return merge_grouped_convolutions(model, view, get_target(target), said.append), said


def test_the_fastest_factor_is_chosen_and_of_equal_ones_the_smallest() -> None:
    assert fastest_factor({1: 2.0, 2: 1.0, 4: 0.5, 8: 0.49}) == 4
    assert fastest_factor({1: 1.0, 2: 1.2}) == 1
    assert fastest_factor({1: 1.0, 2: 0.98, 4: 0.9}) == 4


@pytest.mark.usefixtures("vnni")
def test_times_are_measured_once_for_each_shape_and_kept_in_the_home(
    home: Path, measured: Measured
) -> None:
    merged, said = merged_for(TargetName.X86_VNNI)
    assert merged is not None
    assert [one.factor for one in merged.shapes] == [4, 1]
    assert merged.shapes[0].ms_by_factor == {"1": 2.0, "2": 1.0, "4": 0.5, "8": 0.49}
    assert merged.source.startswith("measured on ")
    assert said[-1] == merged.sentence()
    assert merged_for(TargetName.X86_VNNI)[0] == merged
    assert len(measured.shapes) == 2
    (path,) = (home / "cache" / "kernel_times").iterdir()
    assert json.loads(path.read_text())["onnxruntime"]


@pytest.mark.usefixtures("vnni")
@pytest.mark.parametrize("content", ["", "[]", '{"ms_by_factor": {"x": 1}}'])
def test_damaged_times_are_measured_again(home: Path, content: str, measured: Measured) -> None:
    merged_for(TargetName.X86_VNNI)
    (path,) = (home / "cache" / "kernel_times").iterdir()
    path.write_text(content)
    merged_for(TargetName.X86_VNNI)
    assert len(measured.shapes) == 4


@pytest.mark.usefixtures("vnni")
def test_another_processor_has_times_of_its_own(
    home: Path, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    merged_for(TargetName.X86_VNNI)
    facts = choice.kernel_facts() | {"cpu": "another"}
    monkeypatch.setattr(choice, "kernel_facts", lambda: facts)
    merged_for(TargetName.X86_VNNI)
    assert len(measured.shapes) == 4
    assert len(list((home / "cache" / "kernel_times").iterdir())) == 2


@pytest.mark.usefixtures("vnni")
@pytest.mark.parametrize("target", [TargetName.ARM, TargetName.X86])
def test_nothing_is_merged_for_a_machine_whose_times_are_not_known(
    target: TargetName, measured: Measured
) -> None:
    merged, _ = merged_for(target)
    assert merged is not None
    assert [(one.factor, one.ms_by_factor) for one in merged.shapes] == [(1, {}), (1, {})]
    assert merged.added_bytes == 0
    assert merged.source.startswith(f"not measured, {target} is not this machine")
    assert measured.shapes == []


def test_without_a_measurement_groups_of_vnni_have_32_channels(
    monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    monkeypatch.setattr(environment, "instruction_sets", lambda: ["avx2"])
    merged, _ = merged_for(TargetName.X86_VNNI)
    assert merged is not None
    assert [one.factor for one in merged.shapes] == [8, 8]  # 4 channels a group
    assert measured.shapes == []


def test_other_runtimes_get_their_groups_as_they_are(measured: Measured) -> None:
    assert merged_for(TargetName.TENSORRT)[0] is None
    assert measured.shapes == []


@pytest.mark.parametrize("signed", [False, True])
def test_timed_kernels_give_equal_integers(signed: bool) -> None:
    random = np.random.default_rng(2)
    low, high, kind = (-128, 127, np.int8) if signed else (0, 255, np.uint8)
    x = random.integers(low, high, (1, 6, 5, 16), kind, endpoint=True)
    first, *others = (
        small_session_of(timed_model(SHAPE, factor, signed), 1).run(None, {"x": x})
        for factor in SHAPE.factors(16)
    )
    assert first[0].shape == (1, 3, 5, 32)
    assert first[0].std() > 5
    for other in others:
        for ours, theirs in zip(first, other, strict=True):
            assert np.array_equal(ours, theirs)


def test_factors_far_from_the_fastest_are_not_measured_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: dict[int, int] = {}

    class Timed:
        """A graph that takes the milliseconds of its factor."""

        def __init__(self, model: ModelProto, feeds: dict[str, np.ndarray]) -> None:
            self.factor = 16 // group_count(model.graph.node[0])

        def cpu_ms(self) -> float:
            runs[self.factor] = runs.get(self.factor, 0) + 1
            return timing.COPIES * {1: 9.0, 2: 4.0, 4: 3.0, 8: 5.0, 16: 1.0}[self.factor]

    monkeypatch.setattr(timing, "TimedGraph", Timed)
    shape = replace(SHAPE, inputs=32, groups=16)
    assert measure_factors(shape, signed=False) == {1: 9.0, 2: 4.0, 4: 3.0, 8: 5.0}
    first, all_runs = timing.FIRST_RUNS, timing.FIRST_RUNS + timing.ROUNDS
    assert runs == {1: first, 2: all_runs, 4: all_runs, 8: first}


def test_kernels_of_a_shape_are_timed_here() -> None:
    times = measure_factors(SHAPE, signed=False)
    assert 1 in times
    assert set(times) <= {1, 2, 4}


def test_the_pages_say_what_was_merged() -> None:
    some = GroupedShape(shape="a", layers=["c1", "c2"], factor=4)
    more = GroupedShape(shape="b", layers=["c3"], factor=8)
    rest = GroupedShape(shape="c", layers=["c4"], factor=1)
    merged = MergedGroups(shapes=[some, more, rest], source="measured here", added_bytes=1_200_000)
    assert merged.sentence() == (
        "3 of 4 grouped convolutions have 4 to 8 groups merged into one (+1.2 MB of zeros, equal "
        "scores); measured here."
    )
    same = merged.model_copy(update={"shapes": [some, rest]})
    assert same.sentence().startswith("2 of 3 grouped convolutions have 4 groups merged")
    none = merged.model_copy(update={"shapes": [rest]})
    assert none.sentence() == "None of 1 grouped convolutions is merged; measured here."


def test_a_build_records_its_factors_and_counts_the_macs_of_its_model(
    url: str,
    tmp_path: Path,
    measured: Measured,
    vnni: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = grouped_model()
    labeled_by(source, image_folder(tmp_path / "set"), url)
    onnx.save(source, tmp_path / "grouped.onnx")
    spec = onnx_spec(tmp_path / "grouped.onnx")
    export = run_export(url, tmp_path / "export", spec)
    asked = BuildSpec(
        export=spec,
        precision=Precision.INT8,
        calibration=CalibrationSpec(dataset="tiny", images=16, float_share=0.0),
    )
    made = build.run(asked.to_json(), Quiet(url, tmp_path / "build"))["artifact"]
    artifact = artifacts.find_by_digest(made, url)
    manifest = BuildManifest.from_artifact(artifact)
    int8 = manifest.build.quantization
    assert int8 is not None
    assert int8.merged_groups is not None
    assert [one.factor for one in int8.merged_groups.shapes] == [4, 1]
    assert measured.shapes

    macs = count_compute(artifacts.model_path(export.digest)).macs
    assert macs is not None
    assert manifest.compute.gmacs == pytest.approx(macs / 1e9)
    report = load_layer_report(made)
    assert report is not None
    shares = {layer.tensor: layer.macs_share for layer in report.layers}
    assert shares["c1"] == pytest.approx(32 * 4 * 9 * 16 * 16 / macs)
    capsys.readouterr()
    assert main(["artifacts", "report", made]) == 0
    assert "32 to 32 channels, 8 groups, 3x3, stride 1" in capsys.readouterr().out

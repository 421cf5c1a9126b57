"""OpenVINO: the arithmetic is pinned and read back, requests are streams, layers are profiled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from db.enums import Precision
from engine.build import job as build
from engine.common.environment import bf16_instructions
from engine.errors import ProviderUnavailable
from engine.profiling.summary import sum_times, summarize_nodes
from engine.runtimes import openvino, registry
from engine.runtimes.base import LoadOptions
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import CPU_PROVIDER, BuildSpec, CalibrationSpec
from engine.store import artifacts
from tests.support.exports import onnx_spec, run_export
from tests.support.tiny import SIDE, Quiet, image_folder, labeled_by, tiny_se_model

COUNTER_MS = 2e-3  # OpenVINO counts whole microseconds, and two counts are subtracted
NATIVE = bool(bf16_instructions())
needs_bf16 = pytest.mark.skipif(
    not NATIVE, reason="not run: this processor has neither AVX512-BF16 nor AMX"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(tiny_se_model(), tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def images(count: int) -> np.ndarray:
    shape = (count, 3, SIDE, SIDE)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_fp32_is_pinned_and_gives_the_scores_of_onnx_runtime(path: Path) -> None:
    session = registry.load("openvino", path, "fp32", CPU_PROVIDER, LoadOptions(1))
    assert session.placement is not None
    assert set(session.placement) == {f"{CPU_PROVIDER} fp32"}
    assert session.settings["float arithmetic"] == "f32"
    expected = OnnxSession(path, CPU_PROVIDER, 1).run(images(3))
    assert session.run(images(3)) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@needs_bf16
def test_a_wrong_hint_is_recorded_as_what_ran_and_refused_as_fp32(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(openvino.HINTS, "fp32", "bf16")
    ran = openvino.OpenVinoSession(path, "fp32", LoadOptions(1))
    assert ran.settings["float arithmetic"] == "bf16"
    assert ran.placement is not None
    assert ran.placement[f"{CPU_PROVIDER} bf16"] > 0
    with pytest.raises(ProviderUnavailable, match=r"fp32 was requested, .* in bf16; nothing was"):
        registry.load("openvino", path, "fp32", CPU_PROVIDER, LoadOptions(1))


@needs_bf16
def test_bf16_runs_in_bf16_and_a_file_in_f32_is_not_called_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = registry.load("openvino", path, "bf16", CPU_PROVIDER, LoadOptions(1))
    assert session.placement is not None
    assert session.placement[f"{CPU_PROVIDER} bf16"] > 0
    exact = OnnxSession(path, CPU_PROVIDER, 1).run(images(2))
    scores = session.run(images(2))
    assert scores == pytest.approx(exact, abs=0.1)
    assert np.abs(scores - exact).max() > 1e-6
    monkeypatch.setitem(openvino.HINTS, "bf16", "f32")
    with pytest.raises(ProviderUnavailable, match="bf16 was requested"):
        registry.load("openvino", path, "bf16", CPU_PROVIDER, LoadOptions(1))


@needs_bf16
def test_int8_runs_with_bf16_where_it_is_not_integer(url: str, tmp_path: Path) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set", per_class=3), url)
    onnx.save(tiny_se_model(), tmp_path / "tiny.onnx")
    spec = onnx_spec(tmp_path / "tiny.onnx")
    run_export(url, tmp_path / "export", spec)
    placed = {}
    for name in (Precision.INT8, Precision.INT8_BF16):
        calibration = CalibrationSpec(dataset="tiny", images=12)
        asked = BuildSpec(export=spec, precision=name, calibration=calibration)
        digest = build.run(asked.to_json(), Quiet(url, tmp_path / name))["artifact"]
        path = artifacts.model_path(digest)
        session = registry.load("openvino", path, name, CPU_PROVIDER, LoadOptions(1))
        assert session.placement is not None
        placed[name] = {layers.partition(" ")[2] for layers in session.placement}
    assert {"int8", "bf16"} <= placed[Precision.INT8_BF16]
    assert "bf16" not in placed[Precision.INT8]


def test_requests_are_streams_and_threads_are_those_of_each(path: Path) -> None:
    session = registry.load("openvino", path, "fp32", CPU_PROVIDER, LoadOptions(1, requests=2))
    assert session.settings["streams"] == session.settings["threads in all"] == "2"
    first, second = session.request(), session.request()
    assert first(images(2)) == pytest.approx(second(images(2)))
    assert session.copies == 1


@pytest.mark.parametrize("callers", [1, 4])
def test_threads_that_run_at_once_get_their_own_scores(path: Path, callers: int) -> None:
    options = LoadOptions(1, callers=callers)
    session = registry.load("openvino", path, "fp32", CPU_PROVIDER, options)
    batches = list(images(400).reshape(100, 4, 3, SIDE, SIDE))
    expected = [session.run(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(session.run, batches))
    assert np.array_equal(np.stack(found), np.stack(expected))


def test_a_batch_size_is_compiled_in_and_others_are_filled(path: Path) -> None:
    fixed = registry.load("openvino", path, "fp32", CPU_PROVIDER, LoadOptions(1, batch=2))
    assert fixed.batch == 2
    free = registry.load("openvino", path, "fp32", CPU_PROVIDER, LoadOptions(1))
    assert fixed.run(images(3)) == pytest.approx(free.run(images(3)), rel=1e-4, abs=1e-5)


def test_a_model_from_the_cache_says_so_and_keeps_its_placement(path: Path, tmp_path: Path) -> None:
    options = LoadOptions(1, cache=tmp_path / "cache")
    first, second = (
        registry.load("openvino", path, "fp32", CPU_PROVIDER, options) for _ in range(2)
    )
    assert first.settings["compiled model"] == "compiled at loading"
    assert second.settings["compiled model"] == "from cache"
    assert first.placement == second.placement
    assert first.run(images(1)) == pytest.approx(second.run(images(1)))


def test_layers_are_timed_and_se_blocks_found_by_the_names_of_the_file(path: Path) -> None:
    session = registry.load("openvino", path, "fp32", CPU_PROVIDER, LoadOptions(1))
    trace = session.profile(images(2), 0.1)
    assert trace.runs >= 1
    assert trace.latency_ms > 0
    nodes = summarize_nodes(trace, onnx.load(path), SIDE)
    sums = sum_times(nodes)
    assert 0 < sums.se_ms < sums.nodes_ms <= trace.wall_ms + len(nodes) * COUNTER_MS
    assert sums.se_blocks == 1
    assert "Convolution" in {node.op for node in nodes}


def unknown_operator() -> ModelProto:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 4, 4]) for n in "xy"]
    node = helper.make_node("Twist", ["x"], ["y"], domain="org.example")
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("org.example", 1)]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def test_an_operator_that_it_lacks_is_named(tmp_path: Path) -> None:
    onnx.save(unknown_operator(), tmp_path / "strange.onnx")
    with pytest.raises(ProviderUnavailable, match=r"OpenVINO cannot run this model .*Twist"):
        registry.load("openvino", tmp_path / "strange.onnx", "fp32", CPU_PROVIDER, LoadOptions(1))
    reason = registry.runtime_of("openvino").lacks(tmp_path / "strange.onnx")
    assert reason == (
        "Runtime openvino lacks operator org.example.Twist of strange.onnx: choose runtime "
        "onnxruntime."
    )


def test_no_operator_is_missing_in_a_file_of_its_own_or_one_that_is_no_model(
    path: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"PK not a model")
    for file in (path, tmp_path / "broken.onnx"):
        assert registry.runtime_of("openvino").lacks(file) is None


def test_another_device_is_refused() -> None:
    reason = registry.why_not("openvino", "fp32", "CUDAExecutionProvider")
    assert reason is not None
    assert reason.startswith("Runtime openvino runs on the processor only")

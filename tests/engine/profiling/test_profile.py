"""Profiles: node times stay within the run, nodes are those of the optimized graph, sums add up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from db.enums import JobKind, Precision
from db.models import Job
from db.session import reading
from engine.errors import BenchmarkFailed, ProviderUnavailable
from engine.profiling import job
from engine.profiling.records import NodeFacts, load_profiles
from engine.profiling.summary import slowest_nodes, sum_times, times_by_operator
from engine.runs.request import RunRequest, Task
from engine.runs.submit import run_job_ids, submit
from engine.runtimes.onnxruntime_profiler import parse_trace, record_trace
from engine.runtimes.timing import WARM_UP_RUNS
from engine.specs import ProfileSpec, WeightsSpec
from engine.store import artifacts
from tests.support.tiny import SIDE, Quiet, store_build, tiny_se_model

CPU = "CPUExecutionProvider"


def optimized(path: Path, folder: Path) -> onnx.ModelProto:
    """The graph that a session of the same settings runs, written by a session of its own."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(folder / "oracle.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=[CPU])
    return onnx.load(folder / "oracle.onnx")


def test_nodes_are_those_of_the_optimized_graph_and_fit_into_the_run(
    url: str, tmp_path: Path
) -> None:
    path = artifacts.model_path(store_build(url, tiny_se_model()).digest)
    inputs = np.zeros((2, 3, SIDE, SIDE), np.float32)
    trace = record_trace(path, CPU, 1, inputs, seconds=0.2)
    expected = Counter(node.op_type for node in optimized(path, tmp_path).graph.node)
    assert Counter(one.op for one in trace.layers) == expected
    assert 0 < sum(one.ms for one in trace.layers) <= trace.wall_ms
    assert trace.latency_ms > 0
    assert {one.provider for one in trace.layers} == {CPU}
    assert all(one.shapes and one.shapes[0][0] == 2 for one in trace.layers), "of batch 2"


def event(name: str, ts: int, dur: int, **args: object) -> dict:
    kind = "Session" if name == "model_run" else "Node"
    return {"cat": kind, "name": name, "ts": ts, "dur": dur, "args": args}


def test_times_are_means_over_the_faster_runs_after_warm_up() -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="relu")
    idle = onnx.helper.make_node("Relu", ["y"], ["z"], name="not timed")
    events, shape = [], [{"float": [1, 8, 2, 2]}]
    warm_up = [(100, 200)] * WARM_UP_RUNS
    for run, (kernel, wall) in enumerate(
        [*warm_up, (9_000, 9_500), (1_000, 4_200), (2_000, 3_800)]
    ):
        about = {"op_name": "Relu", "output_type_shape": shape, "provider": CPU}
        events.append(event("relu_kernel_time", 10_000 * run + 5, kernel, **about))
        events.append(event("model_run", 10_000 * run, wall))
    trace = parse_trace([node, idle], events, latency_ms=3.5)
    assert (trace.runs, trace.wall_ms, trace.latency_ms) == (2, 4.0, 3.5)
    times = {one.name: (one.ms, one.shapes) for one in trace.layers}
    assert times == {"relu": (1.5, ((1, 8, 2, 2),)), "not timed": (0.0, ())}


def test_nodes_without_a_name_are_found_by_operator_and_order() -> None:
    nodes = [onnx.helper.make_node(op, ["x"], [f"y{i}"]) for i, op in enumerate("ABA")]
    events = []
    for run in range(WARM_UP_RUNS + 1):
        for place, name in enumerate(["A_7", "B_9", "A_3"]):
            begun = 100 * run + 10 * place
            events.append(event(f"{name}_kernel_time", begun, 1 + place, op_name=name[0]))
        events.append(event("model_run", 100 * run, 50))
    trace = parse_trace(nodes, events, 1.0)
    assert [(one.name, one.ms) for one in trace.layers] == [
        ("A_7", 0.001),
        ("B_9", 0.002),
        ("A_3", 0.003),
    ]


def test_a_profile_of_another_graph_is_refused() -> None:
    runs = [event("model_run", 10 * run, 5) for run in range(WARM_UP_RUNS + 1)]
    strange = event("strange_kernel_time", 10 * WARM_UP_RUNS, 5)
    with pytest.raises(
        BenchmarkFailed, match=r"1 nodes that are not in the executed graph .*strange"
    ):
        parse_trace([], [*runs, strange], 1.0)
    with pytest.raises(BenchmarkFailed, match="recorded no run"):
        parse_trace([], [], 1.0)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_the_job_tells_the_se_block_and_what_only_converts(
    url: str, tmp_path: Path, precision: Precision
) -> None:
    model = tiny_se_model()
    if precision == Precision.FP16:
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = convert_float_to_float16(model, keep_io_types=True)
    artifact = store_build(url, model, precision)
    spec = ProfileSpec(artifact=artifact.digest, threads=1, seconds=0.2)
    context = Quiet(url, tmp_path / "work")
    result = job.run(spec.to_json(), context)
    (profile,) = load_profiles(artifact.digest)
    nodes = profile.nodes
    sums = sum_times(nodes)
    assert sums.nodes_ms == pytest.approx(sum(node.ms for node in nodes))
    assert sums.nodes_ms <= profile.wall_ms
    assert result["se_blocks"] == sums.se_blocks == 1
    inside = {node.op for node in nodes if node.se_block == 1}
    assert {"ReduceMean", "Mul"} <= inside
    assert any(op.endswith("Conv") for op in inside)
    outside = [node for node in nodes if node.se_block is None]
    assert any(node.op in ("Gemm", "FusedGemm", "MatMul") for node in outside)
    assert 0 < sums.se_ms < sums.nodes_ms
    inserted = {node.op for node in nodes if node.inserted}
    assert inserted <= {"Cast", "ReorderInput", "ReorderOutput"}
    assert ("Cast" in inserted) == (precision == Precision.FP16)
    assert any("nodes take" in said for said in context.said)
    job.run(spec.to_json(), context)
    assert len(load_profiles(artifact.digest)) == 1, "a newer one takes its place"


def test_sums_by_operator_add_up() -> None:
    plain: list[dict[str, Any]] = [
        {"name": "a", "op": "Conv", "ms": 3.0, "se_block": None, "inserted": False},
        {"name": "b", "op": "Conv", "ms": 1.0, "se_block": 1, "inserted": False},
        {"name": "c", "op": "Cast", "ms": 0.5, "se_block": 1, "inserted": True},
        {"name": "d", "op": "Cast", "ms": 0.5, "se_block": 2, "inserted": True},
        {"name": "e", "op": "Mul", "ms": 5.0, "se_block": 2, "inserted": False},
    ]
    nodes = [NodeFacts.model_validate(one) for one in plain]
    found = times_by_operator(nodes).set_index("op")
    assert list(found.index) == ["Mul", "Conv", "Cast"], "the slowest first"
    assert found["ms"].tolist() == [5, 4, 1]
    assert found["se_ms"].tolist() == [5, 1, 1]
    assert found["rest_ms"].tolist() == [0, 3, 0]
    assert found["share"].tolist() == [0.5, 0.4, 0.1]
    sums = sum_times(nodes)
    assert (sums.nodes_ms, sums.se_ms, sums.inserted_ms) == (10, 7, 1)
    assert (sums.inserted_in_se_ms, sums.se_blocks) == (1, 2)
    assert [node.name for node in slowest_nodes(nodes, 2)] == ["e", "a"]


def test_a_provider_that_is_not_there_is_refused(url: str, tmp_path: Path) -> None:
    digest = store_build(url, tiny_se_model()).digest
    spec = ProfileSpec(artifact=digest, provider="CUDAExecutionProvider", seconds=0.2)
    with pytest.raises(ProviderUnavailable, match="CUDAExecutionProvider"):
        job.run(spec.to_json(), Quiet(url, tmp_path / "work"))


def test_a_run_profiles_each_build_when_asked_to(url: str) -> None:
    asked = {
        "model_id": "timm/seresnet50",
        "weights": WeightsSpec(kind="random"),
        "precisions": (Precision.FP32, Precision.FP16),
        "batches": (4, 8),
    }
    usual = submit(RunRequest(**{**asked, "tasks": (Task.BENCHMARK,)}), url)
    assert Task.PROFILE not in RunRequest(model_id="timm/seresnet50").tasks
    run = submit(RunRequest(**{**asked, "tasks": (Task.PROFILE,)}), url)
    with reading(url) as session:
        jobs = [session.get_one(Job, job_id) for job_id in run_job_ids(run, url)]
        plain = [session.get_one(Job, i) for i in run_job_ids(usual, url)]
    profiles = [job for job in jobs if job.kind == JobKind.PROFILE]
    assert [(job.params["batch"], job.exclusive) for job in profiles] == [(4, True)] * 2
    assert not [job for job in plain if job.kind == JobKind.PROFILE]

"""The machine's peak: what is computed, what is kept, and what benchmarks are held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pytest
from onnx import numpy_helper

from db.enums import JobKind
from db.models import Benchmark, Environment, Job, RunJob
from db.session import reading, writing
from engine.common import environment
from engine.config import settings
from engine.errors import BenchmarkFailed
from engine.jobs import queue
from engine.onnx.macs import count_compute
from engine.peak import job, queueing
from engine.peak.kernels import Kernel, all_kernels
from engine.peak.measurement import measure, session_counts
from engine.peak.records import Speed, load_all_peaks, load_peaks, missing_threads, save_peaks
from engine.peak.shares import add_peak_shares, peak_precision
from engine.specs import PeakSpec
from tests.support.tiny import Quiet, store_build, tiny_se_model

pytestmark = pytest.mark.integration

KERNELS = {kernel.name: kernel for kernel in all_kernels()}
CPU = "CPUExecutionProvider"


def outputs(kernel: Kernel) -> np.ndarray:
    session = ort.InferenceSession(kernel.model, providers=[CPU])
    return np.asarray(session.run(None, {"x": kernel.x})[0])


def constants(kernel: Kernel) -> dict[str, np.ndarray]:
    graph = onnx.load_from_string(kernel.model).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


@pytest.mark.parametrize("name", [name for name in KERNELS if "MatMul" in name])
def test_products_are_those_of_numpy_and_counted_right(name: str) -> None:
    kernel = KERNELS[name]
    held = constants(kernel)
    assert kernel.macs == kernel.x.shape[0] * held["w"].size
    if kernel.precision == "fp32":
        np.testing.assert_allclose(outputs(kernel), kernel.x @ held["w"], rtol=1e-3, atol=1e-3)
        return
    exact = (kernel.x.astype(np.float64) - 128) @ held["w"].astype(np.float64)
    if name.startswith("QLinear"):
        scale = held["x_scale"] * held["w_scale"] / held["y_scale"]
        wanted = np.clip(np.round(exact * scale) + 128, 0, 255)
        assert np.abs(outputs(kernel) - wanted).max() <= 1
        return
    np.testing.assert_array_equal(outputs(kernel), exact.astype(np.int64))


@pytest.mark.parametrize("name", [name for name in KERNELS if "Conv" in name])
def test_the_work_of_a_convolution_is_what_a_build_would_be_counted(name: str) -> None:
    kernel = KERNELS[name]
    n, inputs, height, width = kernel.x.shape
    outputs_, depth = constants(kernel)["w"].shape[:2]
    assert depth == inputs
    assert kernel.macs == n * height * width * outputs_ * inputs * 9
    if kernel.precision == "fp32":
        assert count_compute(onnx.load_from_string(kernel.model)).macs == kernel.macs


def test_threads_are_tried_in_one_session_and_in_one_each() -> None:
    assert (session_counts(1), session_counts(4)) == ([1], [1, 4])
    small = replace(KERNELS["MatMul 512 x 512 x 512"])
    speed = measure(small, 2, 2)
    assert (speed.threads, speed.sessions) == (2, 2)
    assert 0 < speed.median_gmacs_per_s <= speed.best_gmacs_per_s


def speed(best: float, precision: str = "fp32", threads: int = 1) -> Speed:
    return Speed(f"kernel {best}", precision, threads, 1, best, best)


def test_the_best_kernel_is_kept_and_never_lowered(url: str) -> None:
    digest = environment.record(environment.observe_machine(), url)
    assert load_peaks(digest, url) == []
    save_peaks(
        digest, [speed(50), speed(57), speed(200, "int8"), speed(110, threads=2)], ["busy"], url
    )
    save_peaks(digest, [speed(56), speed(220, "int8")], [], url)
    found = {(p.precision, p.threads): (p.gmacs_per_s, p.noise) for p in all_of(url)}
    assert found == {
        ("fp32", 1): (57, ("busy",)),
        ("fp32", 2): (110, ("busy",)),
        ("int8", 1): (220, ()),
    }
    assert [t["best_gmacs_per_s"] for t in load_peaks(digest, url)[0].tried] == [50, 57]
    assert missing_threads(digest, (1, 2, 8), url) == [8]
    environment.record(environment.observe_machine(), url)
    assert load_peaks(digest, url), "another benchmark of this machine leaves its peaks alone"


def all_of(url: str) -> list:
    return [peak for _, _, peak in load_all_peaks(url)]


@pytest.mark.parametrize(
    ("precision", "execution", "provider", "runtime", "held_against"),
    [
        ("fp32", "native", CPU, "onnxruntime 1.32.0", "fp32"),
        ("int8", "native", CPU, "onnxruntime 1.32.0", "int8"),
        ("fp16", "emulated", CPU, "onnxruntime 1.32.0", "fp32"),
        ("fp16", "native", CPU, "onnxruntime 1.32.0", None),
        ("fp32", "native", "CUDAExecutionProvider", "onnxruntime 1.32.0", None),
        ("int8", "native", CPU, "openvino 2025.1", "openvino int8"),
        ("bf16", "native", CPU, "openvino 2025.1", "openvino bf16"),
        ("fp32", "native", CPU, "torch 2.15.0", None),
        ("fp32", "native", CPU, "another 1.0", None),
    ],
)
def test_each_precision_is_held_against_its_own_peak(
    precision: str, execution: str, provider: str, runtime: str, held_against: str | None
) -> None:
    assert peak_precision(precision, execution, provider, runtime) == held_against


def benchmarks(digest: str, **columns: object) -> pd.DataFrame:
    rows = {
        "artifact_digest": ["a", "b", "c"],
        "environment_digest": digest,
        "provider": CPU,
        "runtime": "onnxruntime 1.32.0",
        "threads": 1,
        "instances": 2,
        "processes": 1,
        "achieved_gmacs_per_s": [55.0, 11.0, 220.0],
    }
    return pd.DataFrame({**rows, **columns})


BUILDS = pd.DataFrame(
    {
        "artifact_digest": ["a", "b", "c"],
        "precision": ["fp32", "fp16", "int8"],
        "execution": ["native", "emulated", "native"],
    }
)


def test_shares_are_of_all_threads_in_use(url: str) -> None:
    surroundings = environment.observe_machine()
    digest = environment.record(surroundings, url)
    nothing = add_peak_shares(benchmarks(digest), BUILDS, url)
    assert nothing["peak_share"].isna().all(), "no peak, no share"
    speeds = [speed(50), speed(110, threads=2), speed(200, "int8"), speed(440, "int8", 2)]
    save_peaks(digest, speeds, [], url)
    set_cores(url, digest, 2)
    assert add_peak_shares(benchmarks(digest), BUILDS, url)["peak_share"].tolist() == [50, 10, 50]
    more = add_peak_shares(benchmarks(digest, instances=8), BUILDS, url)
    assert more["peak_share"].tolist() == [50, 10, 50], "no more than there are cores"
    other = add_peak_shares(benchmarks("another machine"), BUILDS, url)
    assert other["peak_share"].isna().all()


def set_cores(url: str, digest: str, cores: int) -> None:
    with writing(url) as session:
        row = session.get_one(Environment, digest)
        row.facts = {**row.facts, "cores": cores}


def test_no_share_exceeds_the_whole(url: str) -> None:
    digest = environment.record(environment.observe_machine(), url)
    set_cores(url, digest, 2)
    save_peaks(digest, [speed(40, threads=2)], [], url)
    found = add_peak_shares(benchmarks(digest), BUILDS, url)
    assert found["peak_gmacs_per_s"].tolist()[:2] == [55, 55], "the faster build is the peak"
    assert found["peak_share"].tolist()[:2] == [100, 20]
    assert found["peak_share"].isna().tolist() == [False, False, True]


def test_the_job_keeps_what_it_measured(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(KERNELS["MatMul 512 x 512 x 512"], name="broken", model=b"no model")
    chosen = [KERNELS["MatMul 512 x 512 x 512"], KERNELS["MatMulInteger 784 x 1024 x 512"], broken]
    monkeypatch.setattr(job, "all_kernels", lambda runtime: chosen)
    context = Quiet(url, tmp_path / "peak")
    result = job.run(PeakSpec(threads=(1,)).to_json(), context)
    assert set(result["gmacs_per_s"]) == {"fp32", "int8"}
    found = {p.precision: p.gmacs_per_s for p in load_peaks(result["environment"], url)}
    assert found == pytest.approx(result["gmacs_per_s"])
    assert any("broken does not run on this machine" in said for said in context.said)


def test_a_kernel_that_fails_without_a_word_is_named_too(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> Speed:
        raise MemoryError

    monkeypatch.setattr(job, "measure", full)
    context = Quiet(url, tmp_path / "peak")
    with pytest.raises(BenchmarkFailed, match="No matrix product"):
        job.run(PeakSpec(threads=(1,)).to_json(), context)
    assert any("does not run on this machine: MemoryError" in said for said in context.said)


def test_the_first_benchmark_of_a_machine_queues_its_peak_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = environment.record(environment.observe_machine(), url)
    assert queueing.queue_if_missing(digest, 2, url) is None, "switched off in tests"
    monkeypatch.setenv("SENET_PEAK", "1")
    monkeypatch.setenv("SENET_THREADS", "1")  # what jobs use; a benchmark may ask for more
    monkeypatch.setattr(queueing, "usable_cores", lambda: 2)
    settings.cache_clear()
    first = queueing.queue_if_missing(digest, 64, url)
    assert first is not None
    assert queueing.queue_if_missing(digest, 2, url) == first
    with reading(url) as session:
        row = session.get_one(Job, first)
        assert (row.kind, row.params, row.exclusive) == (JobKind.PEAK, {"threads": [1, 2]}, True)
        assert row.priority == queue.WHEN_IDLE
        assert session.query(RunJob).count() == 0, "no run waits for it"
    save_peaks(digest, [speed(50), speed(90, threads=2)], [], url)
    assert queueing.queue_if_missing(digest, 2, url) is None


def test_a_benchmark_that_was_measured_asks_for_the_peak_of_its_threads(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = environment.record(environment.observe_machine(), url)
    artifact = store_build(url, tiny_se_model()).digest
    with writing(url) as session:
        row = Benchmark(
            artifact_digest=artifact, environment_digest=digest, runtime="r", provider="p",
            batch=1, threads=2, instances=3, images_per_s=1.0, protocol={"processes": 4},
        )  # fmt: skip
        session.add(row)
        session.flush()
        number = row.id
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(queueing, "queue_if_missing", lambda *given: asked.append(given))
    results = [{"benchmarks": [number]}, {"benchmarks": [number], "reused": True}]
    monkeypatch.setattr("engine.benchmark.job.run", lambda params, context: results[0])
    context = SimpleNamespace(job_id=7, url=url)
    assert queueing.run_benchmark({}, context) == results.pop(0)
    assert asked == [(digest, 24, url, "r")]
    queueing.run_benchmark({}, context)
    assert len(asked) == 1, "what was measured before asks for nothing"


def test_a_peak_on_an_idle_machine_makes_way_for_other_jobs(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    others = iter([False, False, True])

    def one(kernel: Kernel, threads: int, sessions: int, runtime: str) -> Speed:
        measured.append(kernel.name)
        return speed(5.0)

    monkeypatch.setattr(job, "measure", one)
    monkeypatch.setattr(job, "SETTLE_S", 0.0)
    context = Quiet(url, tmp_path / "peak")
    monkeypatch.setattr(context, "others_wait", lambda: next(others, False))
    monkeypatch.setattr(context, "step_aside", lambda: measured.append("aside"))
    job.run(PeakSpec(threads=(1,)).to_json(), context)
    assert measured.index("aside") == 2
    assert len(measured) == len(KERNELS) + 1, "each product once"

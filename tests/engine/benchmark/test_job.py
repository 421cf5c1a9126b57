"""The benchmark job, for real, on a tiny network."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from db.models import Benchmark, Environment
from db.session import reading
from engine.benchmark import job
from engine.benchmark.loaded_model import ProcessConfig
from engine.benchmark.processes import ProcessGroup
from engine.common.files import save_arrays
from engine.config import settings
from engine.errors import BenchmarkFailed
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, BenchmarkSpec
from engine.store.artifacts import model_path
from tests.support.tiny import SIDE, Quiet, store_build, tiny_se_model

pytestmark = pytest.mark.serial


def run(url: str, tmp_path: Path, **options: object) -> Benchmark:
    artifact = store_build(url, tiny_se_model())
    spec = BenchmarkSpec.model_validate(
        {"artifact": artifact.digest, "window_s": 0.05, "max_s": 2, "tolerance": 0.5, **options}
    )
    result = job.run(spec.to_json(), Quiet(url, tmp_path / "work"))
    with reading(url) as session:
        row = session.get(Benchmark, result["benchmark"])
    assert row is not None
    return row


@pytest.mark.parametrize("instances", [1, 2])
def test_a_real_measurement_adds_up(url: str, tmp_path: Path, instances: int) -> None:
    row = run(url, tmp_path, batch=2, threads=1, instances=instances)
    with np.load(settings().home / row.latencies_path) as raw:
        latencies, windows = raw["latency_ms"], raw["window"]
    assert row.samples == latencies.size
    assert windows.max() + 1 == row.protocol["windows"] == len(row.protocol["rounds"])
    assert row.latency_p50_ms == pytest.approx(np.percentile(latencies, 50), rel=1e-4)
    assert row.latency_p50_ms <= row.latency_p90_ms <= row.latency_p95_ms
    assert row.images_per_s_low <= row.images_per_s <= row.images_per_s_high
    # Little's law: requests in flight = rate x latency; a window's edges blur it a little.
    in_flight = row.images_per_s / row.batch * row.latency_mean_ms / 1e3
    assert in_flight == pytest.approx(instances, rel=0.25)
    assert (row.batch, row.threads, row.instances) == (2, 1, instances)
    assert row.achieved_gmacs_per_s == pytest.approx(0.001 * row.images_per_s)


def test_the_environment_is_recorded(url: str, tmp_path: Path) -> None:
    row = run(url, tmp_path)
    with reading(url) as session:
        environment = session.get(Environment, row.environment_digest)
    assert environment is not None
    assert environment.facts["cores"] >= 1
    assert "onnxruntime" in environment.facts["packages"]
    assert row.provider == "CPUExecutionProvider"


def test_another_provider_than_the_one_asked_for_never_runs(url: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="CUDAExecutionProvider is not in this"):
        run(url, tmp_path, provider="CUDAExecutionProvider")
    with reading(url) as session:
        assert session.query(Benchmark).count() == 0


def test_an_npz_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    class Unwritable:
        """Breaks in the middle of being written."""

        def __array__(self, *arguments: object, **options: object) -> np.ndarray:
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError):
        save_arrays(tmp_path / "a.npz", ok=np.ones(3), bad=Unwritable())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_two_processes_measure_together(url: str, tmp_path: Path) -> None:
    row = run(url, tmp_path, batch=2, threads=1, instances=2, processes=2, max_s=5)
    assert row.protocol["processes"] == 2
    in_flight = row.images_per_s / row.batch * row.latency_mean_ms / 1e3
    assert in_flight == pytest.approx(4, rel=0.35), "two requests in each of two processes"
    assert row.peak_rss_mb > 0


def test_a_process_that_cannot_start_fails_the_benchmark(url: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="CUDAExecutionProvider is not in this"):
        run(url, tmp_path, processes=2, provider="CUDAExecutionProvider")


@pytest.mark.parametrize("when", ["before a window", "with a window waiting"])
def test_a_process_that_dies_fails_the_benchmark(url: str, when: str) -> None:
    path = model_path(store_build(url, tiny_se_model()).digest)
    members = [
        ProcessConfig(DEFAULT_RUNTIME, path, "fp32", CPU_PROVIDER, 1, 1, (1, 3, SIDE, SIDE), seed)
        for seed in range(2)
    ]
    with ProcessGroup(members) as team:
        victim = psutil.Process(team._processes[1].pid)
        if when == "before a window":
            victim.kill()
            victim.wait(5)
        else:
            victim.suspend()
            threading.Timer(0.3, victim.kill).start()
        with pytest.raises(BenchmarkFailed, match="process died"):
            team.measure_window(0.05)


def test_what_the_machine_did_meanwhile_is_kept(url: str, tmp_path: Path) -> None:
    row = run(url, tmp_path)
    during = row.protocol["during"]
    assert during["samples"] >= 2
    assert during["other_busy_cores"] == pytest.approx(row.other_busy_cores, abs=1e-3)
    assert during["watching_cores"] < 0.1
    assert len(during["load_1min"]) == 2
    assert isinstance(row.protocol["noise"], list)
    assert row.protocol["nodes"] == {"CPUExecutionProvider": 10}


def test_a_noisy_result_says_why(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = iter([2000.0, *[1500.0] * 1000])
    monkeypatch.setattr("engine.benchmark.interference.clock_mhz", lambda: next(clocks))
    row = run(url, tmp_path)
    assert any("(1,500 to 2,000 MHz)" in reason for reason in row.protocol["noise"])

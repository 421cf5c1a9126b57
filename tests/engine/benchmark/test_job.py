"""The benchmark job, for real, on a tiny network."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from sqlalchemy import select

from db.models import Artifact, Benchmark, Environment
from db.session import reading, writing
from engine.benchmark import job, session_measurement
from engine.benchmark.comparison import speed_ratio
from engine.benchmark.loaded_model import ProcessConfig
from engine.benchmark.processes import ProcessGroup
from engine.benchmark.rows import SessionBuild
from engine.common.files import save_arrays
from engine.config import REPOSITORY, settings
from engine.errors import ArtifactMissing, BenchmarkFailed
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, BenchmarkSpec, SessionSpec
from engine.store.artifacts import model_path
from engine.store.protocols import BenchmarkProtocol
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


def store_pair(url: str) -> list[str]:
    """Digests of an fp32 build and an int8 build of one model."""
    made = [store_build(url, tiny_se_model(), precision) for precision in ("fp32", "int8")]
    return [artifact.digest for artifact in made]


def session_of(digests: list[str], **options: object) -> dict[str, object]:
    quick = {"window_s": 0.02, "max_s": 0.5, "threads": 1, **options}
    return SessionSpec(
        benchmarks=tuple(BenchmarkSpec(artifact=digest, **quick) for digest in digests)
    ).to_json()


def rows_of(url: str) -> list[Benchmark]:
    with reading(url) as session:
        return list(session.scalars(select(Benchmark).order_by(Benchmark.id)))


def test_two_builds_are_measured_in_one_session(url: str, tmp_path: Path) -> None:
    context = Quiet(url, tmp_path / "work")
    result = job.run(session_of(store_pair(url)), context)
    fp32, int8 = rows_of(url)
    assert result["benchmarks"] == [fp32.id, int8.id]
    protocols = [BenchmarkProtocol.from_row(row) for row in (fp32, int8)]
    assert protocols[0].session == protocols[1].session is not None
    numbers = [[one.number for one in protocol.rounds] for protocol in protocols]
    assert numbers[0] == numbers[1] == list(range(len(numbers[0])))
    assert all(one.machine_gflops for protocol in protocols for one in protocol.rounds)
    positions = {(p.rounds[0].position, q.rounds[0].position) for p, q in [protocols]}
    assert positions <= {(0, 1), (1, 0)}
    assert protocols[0].speed_up is None, "fp32 is not compared with itself"
    found = speed_ratio(int8, fp32, None)
    assert found.paired
    assert protocols[1].speed_up is not None
    assert protocols[1].speed_up.ratio == pytest.approx(found.ratio, rel=1e-3)
    assert protocols[1].speed_up.reference == fp32.artifact_digest
    assert fp32.latencies_path != int8.latencies_path
    assert not list(settings().folder("cache/sessions").glob("*")), "the checkpoint is removed"


def test_a_comparison_is_made_once(url: str, tmp_path: Path) -> None:
    asked = {**session_of(store_pair(url), reuse=True), "compares": True}
    context = Quiet(url, tmp_path / "work")
    result = job.run(asked, context)
    assert not result.get("reused")
    again = job.run(asked, context)
    assert again["reused"]
    assert again["benchmarks"] == result["benchmarks"]
    with writing(url) as session:
        fp32, int8 = session.scalars(select(Benchmark).order_by(Benchmark.id))
        builds = [
            SessionBuild(BenchmarkSpec(), session.get_one(Artifact, row.artifact_digest), 1)
            for row in (fp32, int8)
        ]
        ids: list[int | None] = [fp32.id, int8.id]
        int8.protocol = {name: v for name, v in int8.protocol.items() if name != "speed_up"}
    assert not job._all_compared(ids, builds, url), "no ratio, as from a session without fp32"
    assert not job._all_compared([fp32.id, None], builds, url)


def test_a_build_that_was_not_made_is_left_out(url: str, tmp_path: Path) -> None:
    (digest, _) = store_pair(url)
    context = Quiet(url, tmp_path / "work")
    result = job.run(session_of([digest, "f" * 64]), context)
    assert len(result["benchmarks"]) == 1
    assert any(line.startswith("Left out:") for line in context.said)


def test_without_any_build_the_job_says_so(url: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing):
        job.run(session_of(["f" * 64, "e" * 64]), Quiet(url, tmp_path / "work"))


def test_a_build_that_cannot_be_loaded_fails_alone(url: str, tmp_path: Path) -> None:
    digests = store_pair(url)
    model_path(digests[1]).write_bytes(b"no model")
    context = Quiet(url, tmp_path / "work")
    with pytest.raises(BenchmarkFailed, match=r"int8.* The other 1 result is kept"):
        job.run(session_of(digests), context)
    (row,) = rows_of(url)
    assert row.artifact_digest == digests[0]
    assert row.images_per_s > 0


def test_a_stopped_session_goes_on_with_its_next_round(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        """As a process that is killed between two rounds."""

    reports = []

    def stop_after_three(*given: object) -> None:
        reports.append(given)
        if len(reports) == 3:
            raise Stopped

    params = session_of(store_pair(url))
    with monkeypatch.context() as patch:
        patch.setattr(session_measurement, "_report", stop_after_three)
        with pytest.raises(Stopped):
            job.run(params, Quiet(url, tmp_path / "first"))
    assert rows_of(url) == []
    context = Quiet(url, tmp_path / "second")
    job.run(params, context)
    assert any("Continuing after 3 rounds" in line for line in context.said)
    for row in rows_of(url):
        rounds = BenchmarkProtocol.from_row(row).rounds
        assert [one.launch for one in rounds[:4]] == [1, 1, 1, 2]
        assert [one.number for one in rounds] == list(range(len(rounds)))


def test_a_waiting_build_that_works_is_named(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_measurement.TurnTaker, "waiting_cores", 0.8)
    job.run(session_of(store_pair(url)), Quiet(url, tmp_path / "work"))
    for row in rows_of(url):
        assert "it used 0.80 cores while it waited for its turn" in row.protocol["noise"]


def test_waiting_builds_do_not_work(url: str, tmp_path: Path) -> None:
    job.run(session_of(store_pair(url), window_s=0.1, max_s=2), Quiet(url, tmp_path / "work"))
    for row in rows_of(url):
        assert BenchmarkProtocol.from_row(row).waiting_cores < 0.05


def test_builds_that_do_not_fit_into_memory_have_sessions_of_their_own(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_measurement, "RESERVED_MEMORY", 1.0)
    context = Quiet(url, tmp_path / "work")
    job.run(session_of(store_pair(url), max_s=0.1), context)
    sessions = {BenchmarkProtocol.from_row(row).session for row in rows_of(url)}
    assert len(sessions) == 2
    assert any("do not fit into memory" in line for line in context.said)


def test_a_home_with_a_long_path_is_measured_too(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary folder of a job is inside it, and the path of a socket is short."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    digest = store_build(url, tiny_se_model()).digest
    code = (
        "from engine.benchmark.processes import ProcessGroup, preload\n"
        "from engine.benchmark.loaded_model import ProcessConfig\n"
        "from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        "    preload(['onnxruntime'])\n"
        f"    config = ProcessConfig('onnxruntime', Path({str(model_path(digest))!r}), 'fp32', "
        f"'CPUExecutionProvider', 1, 1, (1, 3, {SIDE}, {SIDE}), 0)\n"
        "    with ProcessGroup([config]) as group:\n"
        "        print(group.measure_window(0.02).images)\n"
    )
    script = tmp_path / "measure.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0

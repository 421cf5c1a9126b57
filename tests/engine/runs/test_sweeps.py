"""The points of a sweep, what is said before it runs, and that what was measured stays measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from db.enums import JobKind, JobStatus
from db.models import Benchmark, Job
from db.session import reading, writing
from engine.benchmark import job
from engine.benchmark.scenarios.server import MAX_OVERTIME_FACTOR
from engine.config import settings
from engine.errors import InvalidRequest
from engine.jobs import control
from engine.runs.compile import benchmark_spec
from engine.runs.estimates import estimate
from engine.runs.plan import plan
from engine.runs.request import Point, RunRequest, Task, benchmark_points, is_sweep
from engine.runs.submit import run_job_ids, submit
from engine.runs.validation import point_warnings
from engine.specs import DEFAULT_RUNTIME, WINDOW_S, BenchmarkSpec
from tests.support.tiny import Quiet, store_build, tiny_se_model


def asked(**options: Any) -> RunRequest:
    given = {
        "model_id": "demo/senet",
        "precisions": ("fp32",),
        "tasks": (Task.BENCHMARK,),
        **options,
    }
    return RunRequest.model_validate(given)


def test_every_combination_is_a_point() -> None:
    request = asked(batches=(1, 8), instances=(1, 2), threads=(1, 2))
    points = benchmark_points(request, cores=2)
    assert len(points) == 8
    assert points[0] == Point(1, 1, 1)
    assert {(p.batch, p.instances, p.threads) for p in points} == {
        (b, i, t) for b in (1, 8) for i in (1, 2) for t in (1, 2)
    }


def test_all_cores_is_the_number_of_cores_and_not_measured_twice() -> None:
    request = asked(instances=(1, 2), threads=(0, 1, 2))
    points = benchmark_points(request, cores=2)
    assert [(p.instances, p.threads_per_request(2)) for p in points] == [
        (1, 2),
        (2, 1),
        (1, 1),
        (2, 2),
    ]
    (told,) = point_warnings(request, cores=2)
    assert told.startswith("2 of 6 combinations are duplicates")


def test_points_far_over_the_cores_are_said() -> None:
    request = asked(instances=(1, 8), threads=(1, 2))
    (told,) = point_warnings(request, cores=2)
    assert told == (
        "2 of 4 combinations use more than 4 threads on 2 cores (up to concurrency 8 x 2 threads): "
        "their latency is mostly waiting for a core."
    )
    assert not list(point_warnings(request, cores=16))


def test_a_request_of_before_there_were_sweeps_is_understood() -> None:
    old = asked(threads=2, instances=4)
    assert (old.threads, old.instances) == ((2,), (4,))
    assert not is_sweep(old)
    assert RunRequest.model_validate(old.to_json()) == old


def test_a_scenario_that_cannot_be_is_a_problem_of_the_plan(url: str) -> None:
    found = plan(asked(batches=(1, 8), scenario="single-stream"), url)
    assert any("one image at a time" in problem for problem in found.problems)
    assert any("needs a limit" in p for p in plan(asked(scenario="server"), url).problems)
    assert not plan(asked(scenario="server", limit_ms=20), url).problems


def test_the_plan_says_how_many_points(url: str) -> None:
    steps = " ".join(plan(asked(batches=(1, 8), instances=(1, 2)), url).steps)
    points = "batch 1, 8 x concurrency 1, 2 (4 combinations)"
    assert f"each build in ONNX Runtime at {points}, with no other" in steps


def test_the_estimate_is_the_protocols_least_until_there_is_a_history(url: str) -> None:
    request = asked(batches=(1, 2, 4, 8), precisions=("fp32", "fp16"), benchmark_max_s=20)
    first = estimate(request, url)
    assert first is not None
    assert (first.points, first.cached, first.from_history) == (8, 0, False)
    assert first.expected_s == pytest.approx(8 * (2 + 8 * 0.45))
    assert first.max_s == pytest.approx(8 * (2 + 5 + 20 + WINDOW_S))
    ended(url, took_s=9.0)
    ended(url, took_s=0.5, result={"reused": True})
    ended(url, took_s=60.0, params={"scenario": "server"})
    ended(url, took_s=27.0, params={"benchmarks": [{}, {}, {}]})
    then = estimate(request, url)
    assert then is not None
    assert then.expected_s == pytest.approx(8 * 9.0), (
        "reused points and other scenarios do not count"
    )
    assert then.sentence() == (
        "8 benchmarks, about 1 min 12 s (median of recent ones), max 3 min 38 s."
    )


def test_a_rate_may_take_as_long_as_its_requests_are_waited_for(url: str) -> None:
    request = asked(scenario="server", rate_per_s=50, limit_ms=20, benchmark_max_s=20)
    found = estimate(request, url)
    assert found is not None
    assert found.max_s == pytest.approx(2 + 5 + MAX_OVERTIME_FACTOR * 20 + WINDOW_S)


def test_of_no_points_there_is_no_estimate(url: str) -> None:
    assert estimate(asked(precisions=()), url) is None


def ended(url: str, took_s: float, **values: Any) -> int:
    given = {"params": {}, "result": {}, "status": JobStatus.SUCCEEDED, **values}
    with writing(url) as session:
        row = Job(
            kind=JobKind.BENCHMARK, title="b", key=f"k{took_s}", timeout_s=1.0,
            started_at=1000.0, ended_at=1000.0 + took_s, **given,
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def quick(artifact: str, batch: int, reuse: bool = True) -> BenchmarkSpec:
    return BenchmarkSpec(
        artifact=artifact, batch=batch, window_s=0.02, max_s=0.2, tolerance=0.9, reuse=reuse
    )


def test_a_point_that_was_measured_is_not_measured_again(url: str, tmp_path: Path) -> None:
    artifact = store_build(url, tiny_se_model()).digest
    context = Quiet(url, tmp_path / "work")
    first = job.run(quick(artifact, 1).to_json(), context)
    again = job.run(quick(artifact, 1).to_json(), context)
    assert again == {**first, "reused": True}
    assert "Reused 1 result" in context.said[-1]
    other = job.run(quick(artifact, 2).to_json(), context)
    asked_for = job.run(quick(artifact, 1, reuse=False).to_json(), context)
    with reading(url) as session:
        assert session.query(Benchmark).count() == 3
    assert len({first["benchmark"], other["benchmark"], asked_for["benchmark"]}) == 3


def test_on_another_machine_it_is_measured_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = store_build(url, tiny_se_model()).digest
    context = Quiet(url, tmp_path / "work")
    first = job.run(quick(artifact, 1).to_json(), context)
    monkeypatch.setattr("engine.common.environment._cpu_name", lambda: "another processor")
    assert job.run(quick(artifact, 1).to_json(), context)["benchmark"] != first["benchmark"]


def test_only_points_of_a_sweep_are_taken_from_before() -> None:
    sweep, single = asked(batches=(1, 8)), asked()
    assert benchmark_spec(sweep, Point(1, 1, 0), DEFAULT_RUNTIME, artifact="a").reuse
    assert not benchmark_spec(single, Point(1, 1, 0), DEFAULT_RUNTIME, artifact="a").reuse
    again = sweep.model_copy(update={"again": True})
    assert not benchmark_spec(again, Point(1, 1, 0), DEFAULT_RUNTIME, artifact="a").reuse


def test_where_a_point_is_reused_does_not_change_its_setting() -> None:
    one, other = quick("a" * 64, 1), quick("b" * 64, 1, reuse=False)
    assert one.conditions_key() == other.conditions_key() != quick("a" * 64, 2).conditions_key()


def test_cancelling_a_run_leaves_what_is_done_and_what_others_need(url: str) -> None:
    first = submit(asked(batches=(1, 2, 4)), url)
    second = submit(asked(batches=(4, 8)), url)
    shared = set(run_job_ids(first, url)) & set(run_job_ids(second, url))
    own = sorted(set(run_job_ids(first, url)) - shared)
    assert shared, "the export, the build, and batch 4"
    assert control.cancel_run(url, first) == own
    with reading(url) as session:
        states = {row.id: row.status for row in session.query(Job)}
    assert {states[job_id] for job_id in own} == {JobStatus.CANCELLED}
    assert {states[job_id] for job_id in run_job_ids(second, url)} == {JobStatus.QUEUED}
    with pytest.raises(InvalidRequest, match="There is no run 99"):
        control.cancel_run(url, 99)


def test_the_cores_are_those_of_the_settings() -> None:
    assert (
        benchmark_points(asked())[0].threads_per_request(settings().threads) == settings().threads
    )

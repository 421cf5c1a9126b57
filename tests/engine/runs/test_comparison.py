"""Each lower precision is compared with fp32 of its model, in one session after the builds."""

from __future__ import annotations

from typing import Any

import pytest

from db.enums import JobKind, Precision
from engine.jobs.queue import NewJob
from engine.runs.compile import compile
from engine.runs.estimates import estimate
from engine.runs.plan import plan
from engine.runs.request import RunRequest, Task
from engine.specs import Scenario, SessionSpec

ORT, OPENVINO = "onnxruntime", "openvino"
FP32, FP16, BF16, INT8 = Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8


def asked(**fields: Any) -> RunRequest:
    return RunRequest(model_id="timm/seresnet50", weights={"kind": "random"}, **fields)


def sessions(request: RunRequest) -> list[tuple[NewJob, SessionSpec]]:
    jobs = [job for job in compile(request) if job.kind == JobKind.BENCHMARK]
    return [(job, SessionSpec.from_params(job.params)) for job in jobs]


def measured(session: SessionSpec) -> list[tuple[Precision, str, int]]:
    return [(b.build.precision, b.runtime, b.batch) for b in session.benchmarks if b.build]


def test_a_build_alone_is_compared_after_it() -> None:
    request = asked(precisions=(INT8,), tasks=(Task.BUILD,))
    ((job, session),) = sessions(request)
    assert measured(session) == [(FP32, ORT, 1), (INT8, ORT, 1)]
    assert session.compares
    assert job.needs_all, "without one of them there is nothing to compare"
    jobs = compile(request)
    builds = [place for place, one in enumerate(jobs) if one.kind == JobKind.BUILD]
    assert len(builds) == 2, "fp32 is built for it"
    assert set(job.needs) == set(builds)
    assert jobs[-1] == job
    off = compile(request.model_copy(update={"compare_fp32": False}))
    assert [one.kind for one in off] == [
        JobKind.PREPARE_DATASET, JobKind.EXPORT, JobKind.BUILD
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"precisions": (FP32,), "tasks": (Task.BUILD,)},
        {"tasks": (Task.EXPORT,)},
        {"precisions": (FP32, INT8), "tasks": (Task.BENCHMARK,), "compare_fp32": False},
    ],
)
def test_nothing_to_compare(fields: dict[str, Any]) -> None:
    assert not any(session.compares for _, session in sessions(asked(**fields)))


def test_a_request_that_measures_them_together_adds_nothing() -> None:
    for batches in ((1, 8), (8,)):
        request = asked(precisions=(FP32, INT8), tasks=(Task.BENCHMARK,), batches=batches)
        ((_, session),) = sessions(request)
        assert len(session.benchmarks) == 2 * len(batches)
        assert not session.compares


def test_fp32_joins_the_session_of_the_request() -> None:
    ((_, session),) = sessions(asked(precisions=(INT8,), tasks=(Task.BENCHMARK,), batches=(8, 1)))
    assert sorted(measured(session)) == [(FP32, ORT, 1), (INT8, ORT, 1), (INT8, ORT, 8)]
    ((_, session),) = sessions(asked(precisions=(INT8,), tasks=(Task.BENCHMARK,), batches=(8,)))
    assert sorted(measured(session)) == [(FP32, ORT, 1), (INT8, ORT, 1), (INT8, ORT, 8)]


SCENARIOS: list[dict[str, Any]] = [
    {"scenario": "server", "limit_ms": 20.0, "rate_per_s": 5.0},
    {"scenario": "end-to-end", "dataset": "photographs"},
]


@pytest.mark.parametrize("fields", SCENARIOS)
def test_a_scenario_has_the_comparison_in_a_session_of_its_own(fields: dict[str, Any]) -> None:
    request = asked(precisions=(FP32, FP16), tasks=(Task.BENCHMARK,), **fields)
    *scenario, (_, session) = sessions(request)
    assert [one.scenario for _, one in scenario] == [Scenario(fields["scenario"])] * 2
    closed_loop = request.model_copy(update={"scenario": Scenario.CLOSED_LOOP, "limit_ms": None})
    ((_, as_closed_loop),) = sessions(closed_loop.model_copy(update={"rate_per_s": None}))
    assert [one.conditions_key() for one in session.benchmarks] == [
        one.conditions_key() for one in as_closed_loop.benchmarks
    ], "so that either is reused for the other"
    assert measured(session) == [(FP32, ORT, 1), (FP16, ORT, 1)]


def test_each_runtime_that_executes_both_has_its_comparison() -> None:
    request = asked(precisions=(BF16, INT8), tasks=(Task.BUILD,), runtimes=(ORT, OPENVINO, "torch"))
    ((job, session),) = sessions(request)
    assert not job.needs_all
    assert measured(session)[:2] == [(FP32, ORT, 1), (INT8, ORT, 1)]
    assert (FP32, OPENVINO, 1) in measured(session)
    assert {runtime for _, runtime, _ in measured(session)} == {ORT, OPENVINO}


def test_the_plan_and_the_estimate_tell_it(url: str) -> None:
    request = asked(precisions=(INT8,), tasks=(Task.BUILD,))
    assert (
        "Measure whether int8 is faster than fp32 in ONNX Runtime at batch 1, with no other job on "
        "this machine. fp32 is built for it."
    ) in plan(request, url).steps
    found = estimate(request, url)
    assert found is not None
    assert found.points == 2
    assert estimate(request.model_copy(update={"compare_fp32": False}), url) is None
    server = request.model_copy(
        update={"tasks": (Task.BENCHMARK,), "scenario": Scenario.SERVER, "limit_ms": 20.0}
    )
    total = estimate(server, url)
    assert total is not None
    assert total.points == 3

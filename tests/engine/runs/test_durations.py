"""The duration of a run is estimated from earlier jobs of such size."""

from __future__ import annotations

import pytest

from db.enums import JobKind, JobStatus, Precision, WeightsKind
from engine.config import settings
from engine.runs.durations import estimate_run, predict
from engine.runs.request import OtherModel, RunRequest, Task
from engine.runs.work import work_of
from engine.specs import WeightsSpec
from tests.support import rows

RANDOM = WeightsSpec(kind=WeightsKind.RANDOM)


def request(*names: str) -> RunRequest:
    first, *others = names
    return RunRequest(
        model_id=first,
        weights=RANDOM,
        other_models=tuple(OtherModel(model_id=name, weights=RANDOM) for name in others),
        precisions=(Precision.FP32,),
        tasks=(Task.EXPORT, Task.BUILD),
    )


@pytest.mark.parametrize(
    ("points", "work", "seconds"),
    [
        ([(10.0, 30.0)], 10.0, 30.0),
        ([(10.0, 30.0)], 20.0, 50.0),  # 10 s of start, 20 s of work
        ([(10.0, 30.0), (10.0, 32.0), (10.0, 90.0)], 10.0, 32.0),
        ([(0.0, 7.0)], 5.0, 7.0),
        ([(10.0, 4.0)], 40.0, 4.0),
    ],
)
def test_the_nearest_jobs_are_scaled(
    points: list[tuple[float, float]], work: float, seconds: float
) -> None:
    assert predict(points, work, start_s=10.0) == pytest.approx(seconds)


def test_stages_take_what_earlier_jobs_took(url: str) -> None:
    asked = request("timm/seresnet50", "ppcls/seresnet18")
    guessed = estimate_run(asked, work_of(asked, url), url)
    assert [stage.name for stage in guessed.stages] == ["export", "build"]
    assert (
        "A guess for want of earlier jobs of such size here: export, build." in guessed.sentence()
    )
    for job in work_of(request("timm/seresnet50"), url).new:
        took = {JobKind.EXPORT: 100.0, JobKind.BUILD: 50.0}[JobKind(job.kind)]
        rows.add_job(
            url,
            JobStatus.SUCCEEDED,
            kind=job.kind,
            params=job.params,
            started_at=1000.0,
            ended_at=1000.0 + took,
            result={},
        )
    alone = request("timm/seresnet50")
    known = estimate_run(alone, work_of(alone, url), url)
    side_by_side = min(settings().slots, 2)
    took = [stage.seconds * side_by_side for stage in known.stages]
    assert took == pytest.approx([100.0, 50.0])
    assert not any(stage.rough for stage in known.stages)
    both = estimate_run(asked, work_of(asked, url), url)
    assert both.stages[0].seconds > known.stages[0].seconds
    assert "done about" in known.sentence(now=0.0)


def test_a_far_smaller_job_gives_a_guess_and_never_a_lower_one(url: str) -> None:
    for job in work_of(request("demo/senet"), url).new:
        rows.add_job(
            url,
            JobStatus.SUCCEEDED,
            kind=job.kind,
            params=job.params,
            started_at=1000.0,
            ended_at=1001.0,
            result={},
        )
    large = request("timm/seresnet50")
    found = estimate_run(large, work_of(large, url), url)
    assert all(stage.rough and stage.seconds > 1.0 for stage in found.stages)

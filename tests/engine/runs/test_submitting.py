"""From a request to a plan and to jobs: steps, problems, warnings and notes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError

from db.enums import JobKind, Precision, WeightsKind
from db.models import Dataset, Job, JobNeed, Run
from db.session import reading
from engine.build.int8 import targets
from engine.common.environment import instruction_sets
from engine.datasets.registration import check_folder, register
from engine.errors import InvalidRequest
from engine.runs.compile import build_spec
from engine.runs.plan import plan
from engine.runs.request import DEMO, RunRequest, Task
from engine.runs.submit import run_job_ids, submit
from engine.specs import TargetName, WeightsSpec
from tests.support.tiny import image_folder, labeled_by, tiny_se_model

RANDOM = WeightsSpec(kind=WeightsKind.RANDOM)


def rows(url: str, table: type) -> list:  # type: ignore[type-arg]
    with reading(url) as session:
        return list(session.query(table).order_by(*table.__table__.primary_key.columns))


def test_the_demo_becomes_a_chain_of_jobs(url: str) -> None:
    run = submit(DEMO, url)
    jobs = {job.id: job for job in rows(url, Job)}
    kinds = [job.kind for job in jobs.values()]
    assert kinds.count(JobKind.PREPARE_DATASET) == 2
    assert kinds.count(JobKind.EXPORT) == 1
    assert kinds.count(JobKind.BUILD) == kinds.count(JobKind.EVALUATE) == 3
    (session,) = [job for job in jobs.values() if job.kind == JobKind.BENCHMARK]
    assert session.exclusive
    assert session.title == "Benchmark demo/senet fp32, fp16, int8, batch 1"
    optional = [need for need in rows(url, JobNeed) if need.optional]
    assert {(need.job_id, jobs[need.needs_id].kind) for need in optional} == {
        (session.id, JobKind.BUILD)
    }
    assert len(optional) == 3
    assert run_job_ids(run, url) == list(jobs)
    needs = [(jobs[n.job_id].kind, jobs[n.needs_id].kind) for n in rows(url, JobNeed)]
    assert (JobKind.BUILD, JobKind.EXPORT) in needs
    assert (JobKind.EVALUATE, JobKind.PREPARE_DATASET) in needs
    assert needs.count((JobKind.BUILD, JobKind.PREPARE_DATASET)) == 2, "int8 and fp16 look"


def test_the_same_run_twice_shares_its_jobs(url: str) -> None:
    first, second = submit(DEMO, url), submit(DEMO, url)
    assert run_job_ids(first, url) == run_job_ids(second, url)
    assert len(rows(url, Run)) == 2


def test_an_end_to_end_benchmark_waits_for_the_files_that_it_sends(url: str) -> None:
    request = RunRequest(
        model_id="demo/senet",
        precisions=(Precision.FP32,),
        tasks=(Task.BENCHMARK,),
        scenario="end-to-end",
        dataset="demo",
    )
    submit(request, url)
    jobs = {job.kind: job for job in rows(url, Job)}
    assert jobs[JobKind.BENCHMARK].params["benchmarks"][0]["dataset"] == "demo"
    assert jobs[JobKind.BENCHMARK].title == (
        "Benchmark demo/senet fp32, batch 1, end to end on demo"
    )
    needed = {n.needs_id for n in rows(url, JobNeed) if n.job_id == jobs[JobKind.BENCHMARK].id}
    assert needed == {jobs[JobKind.PREPARE_DATASET].id, jobs[JobKind.BUILD].id}


def test_an_export_alone_is_one_job(url: str) -> None:
    request = RunRequest(model_id="timm/seresnet50", weights=RANDOM, tasks=(Task.EXPORT,))
    submit(request, url)
    assert [job.kind for job in rows(url, Job)] == [JobKind.EXPORT]


def test_a_large_evaluation_is_sharded(url: str, tmp_path: Path) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set", per_class=1), url)
    from db.session import writing

    with writing(url) as session:
        session.query(Dataset).update({"num_images": 50_000})
    request = RunRequest(
        model_id="timm/resnet18",
        precisions=(Precision.FP32,),
        tasks=(Task.EVALUATE,),
        dataset="tiny",
    )
    submit(request, url)
    shards = [job for job in rows(url, Job) if job.kind == JobKind.EVALUATE_SHARD]
    merge = next(job for job in rows(url, Job) if job.kind == JobKind.EVALUATE)
    covered = sorted((job.params["start"], job.params["stop"]) for job in shards)
    assert covered[0][0] == 0
    assert covered[-1][1] == 50_000
    assert all(a[1] == b[0] for a, b in pairwise(covered))
    needed = {n.needs_id for n in rows(url, JobNeed) if n.job_id == merge.id}
    assert {job.id for job in shards} <= needed


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (RunRequest(model_id="timm/seresnet50"), "Evaluate needs a dataset"),
        (RunRequest(model_id="timm/seresnet50", dataset="none"), "no dataset 'none' to evaluate"),
        (RunRequest(model_id="timm/seresnet50", dataset="demo", precisions=()), "one precision"),
        (RunRequest(model_id="timm/seresnet50", dataset="demo", tasks=()), "one task"),
        (RunRequest(model_id="timm/seresnet50", dataset="demo", batches=()), "one batch size"),
        (
            RunRequest(model_id="timm/x", weights=RANDOM, dataset="demo"),
            "not accuracy: remove the task Evaluate",
        ),
        (
            RunRequest(
                model_id="timm/seresnet50",
                precisions=(Precision.FP16,),
                tasks=(Task.BUILD,),
                calibration_dataset="none",
            ),
            "no dataset 'none' to check overflow on",
        ),
        (
            RunRequest(model_id="timm/x", tasks=(Task.BENCHMARK,), scenario="end-to-end"),
            "Scenario end-to-end sends image files: select a dataset",
        ),
        (
            RunRequest(
                model_id="timm/x", tasks=(Task.BENCHMARK,), scenario="end-to-end", dataset="none"
            ),
            "no dataset 'none' to measure end to end on",
        ),
        (RunRequest(model_id="onnx/x", dataset="demo"), "give the ONNX file as weights"),
        (RunRequest(model_id="caffe/x", dataset="demo"), "no model 'caffe/x'"),
        (RunRequest(model_id="mmcls/seresnet5", dataset="demo"), "mean mmcls/seresnet50"),
        (
            RunRequest(model_id="timm/x", dataset="demo", preprocess={"crop": -1}),
            "crop",
        ),
        (
            RunRequest(
                model_id="timm/x", dataset="demo", preprocess={"mean": [123.675, 116.28, 103.53]}
            ),
            "mean 0.485,0.456,0.406 and std 0.229,0.224,0.225",
        ),
        (
            RunRequest(
                model_id="timm/seresnet50", dataset="demo", evaluation_preprocess={"scale": 1}
            ),
            "mean 123.675,116.28,103.53 and std 58.395,57.12,57.375",
        ),
        (
            RunRequest(
                model_id="timm/x",
                dataset="demo",
                weights=WeightsSpec(kind=WeightsKind.FILE, path="/nowhere/w.pth"),
            ),
            "weights file /nowhere/w.pth does not exist",
        ),
    ],
)
def test_what_stands_in_the_way_is_said_and_nothing_is_queued(
    url: str, request_: RunRequest, problem: str
) -> None:
    assert any(problem in text for text in plan(request_, url).problems)
    with pytest.raises(InvalidRequest, match=problem.replace("'", ".")):
        submit(request_, url)
    assert rows(url, Job) == rows(url, Run) == []


def test_the_plan_names_downloads_with_url_and_place(url: str, home: Path) -> None:
    request = RunRequest(model_id="timm/seresnet50", dataset="demo")
    text = " ".join(plan(request, url).remarks)
    assert "seresnet50.ra2_in1k/resolve/main/model.safetensors" in text
    assert str(home / "weights" / "timm" / "seresnet50.ra2_in1k.safetensors") in text


def test_the_plan_warns_of_calibration_on_the_evaluation_set(url: str, tmp_path: Path) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set", per_class=2), url)
    same = plan(RunRequest(model_id="timm/x", dataset="tiny"), url)
    assert any("calibrated on 8 of the images of tiny that it is" in w for w in same.warnings)
    assert any("int8 is calibrated on 8 images, not 300: tiny" in w for w in same.warnings)
    steps = " ".join(same.steps)
    assert "calibrated on 8 images of tiny" in steps
    assert "overflow checked on 8 images of tiny" in steps
    assert "300" not in steps
    disjoint = plan(RunRequest(model_id="timm/x", dataset="tiny", calibration_dataset="demo"), url)
    assert not any("that it is evaluated on" in w for w in disjoint.warnings)


def test_the_plan_says_how_sure_an_accuracy_can_be(url: str, tmp_path: Path) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set", per_class=25), url)
    request = RunRequest(model_id="timm/x", dataset="tiny", limit=100)
    assert any("100 images: top-1 within about ±7.8 pp" in n for n in plan(request, url).notes)


def test_the_steps_follow_the_request(url: str) -> None:
    steps = plan(DEMO, url).steps
    assert steps[0] == "Generate the built-in dataset demo (synthetic images)."
    summary = targets.resolve(TargetName.AUTO, instruction_sets()).summary
    images = "256 images of demo-calibration"
    assert f"Build int8 for {summary}, calibrated on {images}." in steps
    assert f"Build fp16, overflow checked on {images}." in steps
    more = plan(DEMO.model_copy(update={"calibration_images": 300}), url).steps
    assert f"Build fp16, overflow checked on {images}." in more, "it has no more"
    request = RunRequest(model_id="timm/seresnet50", weights=RANDOM, tasks=(Task.EXPORT,))
    assert len(plan(request, url).steps) == 1


def test_fp16_without_a_dataset_is_not_checked_for_overflow(url: str) -> None:
    request = RunRequest(model_id="timm/seresnet50", weights=RANDOM, tasks=(Task.BUILD,))
    assert "Build fp16, overflow not checked (no dataset)." in plan(request, url).steps
    assert build_spec(request, Precision.FP16).range_check is None


def test_the_target_is_settled_when_the_run_is_asked_for(url: str) -> None:
    request = RunRequest(model_id="timm/seresnet50", weights=RANDOM)
    for target in TargetName:
        asked = request.model_copy(update={"target": target})
        calibration = build_spec(asked, Precision.INT8).calibration
        assert calibration is not None
        assert calibration.target != TargetName.AUTO
        assert target in (TargetName.AUTO, calibration.target)
        untried = [w for w in plan(asked, url).warnings if "was never tested on" in w]
        signed = calibration.target in (TargetName.ARM, TargetName.TENSORRT)
        assert bool(untried) == signed
        for runtimes in (("onnxruntime",), ("onnxruntime", "openvino")):
            warnings = plan(asked.model_copy(update={"runtimes": runtimes}), url).warnings
            wrong = any("OpenVINO on x86 computes some networks" in text for text in warnings)
            assert wrong == (signed and "openvino" in runtimes)
    on_tensorrt = request.model_copy(update={"provider": targets.TENSORRT_PROVIDER})
    calibration = build_spec(on_tensorrt, Precision.INT8).calibration
    assert calibration is not None
    assert calibration.target == TargetName.TENSORRT


def test_a_weights_file_is_known_by_its_bytes_not_its_place(url: str, tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 same bytes")
    requests = [
        RunRequest(
            model_id="timm/seresnet50",
            weights=WeightsSpec(kind=WeightsKind.FILE, path=str(tmp_path / name)),
            tasks=(Task.EXPORT,),
        )
        for name in ("a.pth", "b.pth")
    ]
    assert run_job_ids(submit(requests[0], url), url) == run_job_ids(submit(requests[1], url), url)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"threads": -1}, {"color": "red"}])
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RunRequest.model_validate({"model_id": "timm/seresnet50", **wrong})


def test_other_classes_than_the_dataset_has_stop_the_run_before_it_is_queued(
    url: str, tmp_path: Path
) -> None:
    register(
        "own", check_folder(image_folder(tmp_path / "own", 1), None, lambda done, total: None), url
    )
    wnids = image_folder(tmp_path / "wnids", 1)
    for number, wnid in enumerate(("n01440764", "n01443537", "n01484850", "n01491361")):
        (wnids / f"class{number}").rename(wnids / wnid)
    register("ten", check_folder(wnids, None, lambda done, total: None), url)
    asked = RunRequest(model_id="timm/seresnet50", tasks=(Task.EVALUATE,), dataset="own")
    assert "has 1000 outputs, dataset 'own' has 4 classes" in plan(asked, url).problems[0]
    assert not plan(asked.model_copy(update={"tasks": (Task.BENCHMARK,)}), url).problems
    found = plan(asked.model_copy(update={"dataset": "ten"}), url)
    assert not found.problems
    assert any("Scored over all 1,000 outputs" in warning for warning in found.warnings)


def test_a_constraint_needs_images_that_are_not_calibrated_on(url: str, tmp_path: Path) -> None:
    found = check_folder(
        image_folder(tmp_path / "set", per_class=5), None, lambda done, total: None
    )
    register("small", found, url)
    asked = RunRequest(
        model_id="timm/x",
        weights=WeightsSpec(kind=WeightsKind.RANDOM),
        precisions=(Precision.INT8,),
        tasks=(Task.BUILD,),
        calibration_dataset="small",
        max_drop=1.0,
    )
    problems = plan(asked, url).problems
    assert any("Calibration uses all 20 images of small" in problem for problem in problems)
    fewer = asked.model_copy(update={"calibration_images": 10})
    assert not any("Calibration uses" in problem for problem in plan(fewer, url).problems)

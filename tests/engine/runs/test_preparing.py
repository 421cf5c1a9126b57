"""A dataset that is still being prepared: a run that names it waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from db.enums import JobKind, JobStatus, Precision, WeightsKind
from db.models import Job, JobNeed
from db.session import reading, writing
from engine.datasets.available import AvailableDatasets
from engine.datasets.registration import check_folder, register
from engine.errors import InvalidRequest
from engine.jobs import queue
from engine.runs.compile import dataset_job
from engine.runs.plan import plan
from engine.runs.request import RunRequest, Task
from engine.runs.submit import run_job_ids, submit
from engine.specs import DatasetSpec, WeightsSpec
from tests.support.tiny import image_folder


def in_preparation(url: str, name: str, root: Path) -> int:
    with writing(url) as session:
        return queue.submit(session, dataset_job(DatasetSpec(name=name, root=str(root))))


def on(dataset: str, **values: object) -> RunRequest:
    return RunRequest.model_validate({"model_id": "timm/seresnet50", "dataset": dataset, **values})


def needs_of(url: str, kind: JobKind) -> set[str]:
    """The kinds of jobs that jobs of this kind wait for."""
    with reading(url) as session:
        kinds = dict(session.execute(select(Job.id, Job.kind)).all())
        links = session.execute(select(JobNeed.job_id, JobNeed.needs_id)).all()
    return {kinds[needed] for job, needed in links if kinds[job] == kind}


def test_a_run_waits_for_the_preparation_of_its_dataset(url: str, tmp_path: Path) -> None:
    job_id = in_preparation(url, "mine", wnids(tmp_path))
    request = on("mine", precisions=(Precision.INT8,), tasks=(Task.EVALUATE,))
    found = plan(request, url)
    assert not found.problems
    assert any("dataset mine is prepared" in step for step in found.steps)
    assert any("4 images of mine" in step for step in found.steps)
    run = submit(request, url)
    assert job_id in run_job_ids(run, url)
    with reading(url) as session:
        registrations = session.query(Job).filter_by(kind=JobKind.PREPARE_DATASET).count()
    assert registrations == 1
    assert JobKind.PREPARE_DATASET in needs_of(url, JobKind.EVALUATE)
    assert JobKind.PREPARE_DATASET in needs_of(url, JobKind.BUILD), "int8 is calibrated on it"


def test_a_run_without_evaluation_does_not_wait(url: str, tmp_path: Path) -> None:
    in_preparation(url, "mine", wnids(tmp_path))
    random = WeightsSpec(kind=WeightsKind.RANDOM)
    request = on("mine", precisions=("fp32",), tasks=(Task.BENCHMARK,), weights=random)
    submit(request, url)
    kinds = (JobKind.EXPORT, JobKind.BUILD, JobKind.BENCHMARK)
    assert not any(JobKind.PREPARE_DATASET in needs_of(url, kind) for kind in kinds)


def test_the_classes_are_checked_before_its_images_are_decoded(url: str, tmp_path: Path) -> None:
    in_preparation(url, "own", image_folder(tmp_path / "own", 1))
    (problem,) = plan(on("own", tasks=(Task.EVALUATE,)), url).problems
    assert "has 1000 outputs, dataset 'own' has 4 classes" in problem
    in_preparation(url, "gone", tmp_path / "not there")
    assert not plan(on("gone", tasks=(Task.EVALUATE,)), url).problems, "its job says why"


def test_of_a_name_that_is_registered_again_the_new_folder_counts(url: str, tmp_path: Path) -> None:
    first = check_folder(image_folder(tmp_path / "first", 1), None, lambda done, total: None)
    register("mine", first, url)
    known = AvailableDatasets.read(url)
    assert (known.count_images("mine"), known.names()) == (4, ["mine"])
    in_preparation(url, "mine", image_folder(tmp_path / "second", 2))
    known = AvailableDatasets.read(url)
    assert (known.count_images("mine"), known.names()) == (8, ["mine"])
    assert known.labeled() == ["mine"]
    assert known.get("mine") is None


def test_a_preparation_that_has_ended_is_not_waited_for(url: str, tmp_path: Path) -> None:
    job_id = in_preparation(url, "mine", wnids(tmp_path))
    with writing(url) as session:
        session.get_one(Job, job_id).status = JobStatus.FAILED
    with pytest.raises(InvalidRequest, match="There is no dataset 'mine'"):
        submit(on("mine", tasks=(Task.EVALUATE,)), url)


def wnids(folder: Path) -> Path:
    """A folder per class, four classes of ImageNet with an image each."""
    root = image_folder(folder / "wnids", 1)
    for number, wnid in enumerate(("n01440764", "n01443537", "n01484850", "n01491361")):
        (root / f"class{number}").rename(root / wnid)
    return root

from __future__ import annotations

import time

from sqlalchemy import select

from dashboard import queries
from db.enums import JobStatus
from db.models import Benchmark, JobNeed
from db.session import writing
from engine.config import settings
from engine.results.groups import accuracy_groups, newest_builds, speed_groups, with_labels
from engine.specs.comparability import SAME_CONDITIONS, SAME_IMAGES
from tests.support import rows


def test_version_changes_with_every_result(url: str) -> None:
    before = queries.version()
    assert queries.version() == before
    rows.add_measured_model(url)
    assert queries.version() != before
    assert len(queries.results()) == 3


def test_a_run_keeps_what_was_measured_anew_since(url: str) -> None:
    rows.add_measured_model(url, right={"fp32": 803})
    (first,) = queries.results()["benchmark_id"]
    with writing(url) as session:
        old = session.get(Benchmark, int(first))
        assert old is not None
        values = {c.name: getattr(old, c.name) for c in Benchmark.__table__.columns}
        session.add(Benchmark(**{**values, "id": None, "images_per_s": 12.0, "created_at": 2e9}))
    (now,) = queries.results()["images_per_s"]
    (then,) = queries.results_of_measurements(set(), set(), {int(first)})["images_per_s"]
    assert (now, then) == (12.0, 10.0)


def test_groups_are_never_mixed(url: str) -> None:
    rows.add_measured_model(url, "a", dataset="val")
    rows.add_measured_model(url, "b", dataset="other")
    frame = with_labels(queries.results())
    groups = accuracy_groups(frame)
    assert {group.label for group in groups} == {"val · 1,000 images", "other · 1,000 images"}
    for group in groups:
        assert len(set(group.select_rows(frame)["dataset_digest"])) == 1
    (speed,) = speed_groups(frame)
    assert speed.label == "batch 1, 2 threads · A CPU, 2 cores"


def test_one_process_and_several_are_never_held_against_each_other(url: str) -> None:
    rows.add_measured_model(url, "a", right={"fp32": 800, "int8": 790})
    with writing(url) as session:
        (several,) = session.scalars(select(Benchmark).where(Benchmark.images_per_s > 15))
        several.protocol = {**several.protocol, "processes": 4}
    groups = speed_groups(with_labels(queries.results()))
    assert {group.label for group in groups} == {
        "batch 1, 2 threads · A CPU, 2 cores",
        "batch 1, 2 threads, 4 processes · A CPU, 2 cores",
    }
    assert [len(group.select_rows(queries.results())) for group in groups] == [1, 1]


def test_every_condition_of_a_measurement_keeps_groups_apart(url: str) -> None:
    rows.add_measured_model(url)
    frame = with_labels(queries.results())
    # The runtime is chosen beside the group, so that runtimes can be compared.
    assert set(SAME_CONDITIONS) - set(speed_groups(frame)[0].values) == {"runtime"}
    assert set(SAME_IMAGES) <= set(accuracy_groups(frame)[0].values)


def test_empty_results_have_no_groups(url: str) -> None:
    frame = with_labels(queries.results())
    assert accuracy_groups(frame) == speed_groups(frame) == []


def test_one_model_with_two_weights_is_told_apart(url: str) -> None:
    rows.add_measured_model(url, "a")
    rows.add_measured_model(url, "a", weights_kind="random", dataset="unused")
    labels = set(with_labels(queries.results())["label"])
    assert len(labels) == 2
    assert any("random weights" in label for label in labels)


def test_pairs_are_paired_on_the_same_images(url: str) -> None:
    rows.add_measured_model(url)
    found, missing = queries.pairs(newest_builds(queries.results()), "fp16", "int8")
    (pair,) = found.to_dict("records")
    assert missing is None
    assert round(pair["change"], 6) == -0.9  # 793 - 802 of 1,000
    assert (pair["only_first"], pair["only_second"]) == (9, 0)
    assert round(pair["speed_up"], 6) == 1.5
    assert round(pair["size_ratio"], 6) == 0.5


def test_lost_per_image_results_leave_the_speeds(url: str) -> None:
    rows.add_measured_model(url)
    for path in (settings().home / "results").glob("images-*.npz"):
        path.unlink()
    found, missing = queries.pairs(queries.results(), "fp16", "int8")
    assert missing is not None
    assert "evaluate again" in missing
    assert found["change"].isna().all()
    assert found["speed_up"].notna().all()


def test_jobs_know_what_they_wait_for(url: str) -> None:
    first = rows.add_job(url, JobStatus.RUNNING, "Export x")
    second = rows.add_job(url, JobStatus.QUEUED, "Build x")
    with writing(url) as session:
        session.add(JobNeed(job_id=second, needs_id=first))
    views = {view.row.id: view for view in queries.live_jobs()}
    assert views[second].waits_for == ("Export x",)
    assert views[first].waits_for == ()
    assert len(views[first].runs) == 1


def test_a_failure_is_open_until_something_equal_is_queued_after(url: str) -> None:
    rows.add_job(url, JobStatus.FAILED, "Build x", error="no", ended_at=time.time())
    rows.add_job(url, JobStatus.FAILED, "Build of last year", error="no", ended_at=1.0)
    assert len(queries.unresolved_failures()) == 1
    rows.add_job(url, JobStatus.QUEUED, "Build x")
    assert queries.unresolved_failures() == []

"""Tags, notes, hidden builds, and the deletion of a build with what depends on it."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from db.enums import JobStatus
from db.models import Annotation, Artifact, Benchmark, Evaluation
from db.session import reading, writing
from engine.config import settings
from engine.errors import InvalidRequest
from engine.results import result_tables, results_frame
from engine.results.annotations import annotate, annotation_of, delete_build, dependents_of
from tests.support import rows


def digest_of(url: str, precision: str) -> str:
    with reading(url) as session:
        return session.scalars(select(Artifact.digest).where(Artifact.precision == precision)).one()


def test_a_tag_and_a_note_are_columns_of_the_results(url: str) -> None:
    rows.add_measured_model(url)
    digest = digest_of(url, "int8")
    annotate(digest, url, tag="  for the   board ", note="fits\nthe SRAM", hidden=False)
    frame = results_frame(url).set_index("precision")
    assert frame.loc["int8", "tag"] == "for the board"
    assert frame.loc["int8", "note"] == "fits\nthe SRAM"
    assert frame["tag"].notna().sum() == 1
    annotate(digest, url, tag="", note=None, hidden=False)
    with reading(url) as session:
        assert session.scalar(select(func.count()).select_from(Annotation)) == 0


def test_a_hidden_build_is_left_out_until_it_is_asked_for(url: str) -> None:
    rows.add_measured_model(url)
    digest = digest_of(url, "int8")
    annotate(digest, url, tag=None, note=None, hidden=True)
    shown = result_tables(url)
    for table in (shown.builds, shown.evaluations, shown.benchmarks):
        assert digest not in set(table["artifact_digest"])
        assert len(table) == 2
    assert len(results_frame(url, hidden=True)) == 3
    assert annotation_of(digest, url).hidden


def test_too_long_a_tag_is_a_sentence(url: str) -> None:
    with pytest.raises(InvalidRequest, match="61 characters: at most 60"):
        annotate("a" * 64, url, tag="x" * 61, note=None, hidden=False)


def test_a_build_is_deleted_with_what_depends_on_it(url: str) -> None:
    rows.add_measured_model(url)
    digest, other = digest_of(url, "int8"), digest_of(url, "fp32")
    with writing(url) as session:
        child = session.get(Artifact, digest_of(url, "fp16"))
        assert child is not None
        child.parent_digest = digest
        shared = session.scalars(
            select(Evaluation).where(Evaluation.artifact_digest == other)
        ).one()
        own = session.scalars(select(Evaluation).where(Evaluation.artifact_digest == digest)).one()
        kept, gone = str(shared.per_image_path), str(own.per_image_path)
    annotate(digest, url, tag="old", note=None, hidden=False)
    assert dependents_of(digest, url).text() == (
        "1 build made from it, 2 benchmarks and 2 evaluations"
    )
    delete_build(digest, url)
    with reading(url) as session:
        assert session.scalars(select(Artifact.digest)).all() == [other]
        assert session.scalar(select(func.count()).select_from(Evaluation)) == 1
        assert session.scalar(select(func.count()).select_from(Benchmark)) == 1
        assert session.get(Annotation, digest) is None
    assert (settings().home / kept).is_file()
    assert not (settings().home / gone).exists()
    assert not (settings().home / "artifacts" / digest).exists()


def test_a_file_that_another_evaluation_reads_is_kept(url: str) -> None:
    rows.add_measured_model(url)
    digest = digest_of(url, "int8")
    with writing(url) as session:
        own = session.scalars(select(Evaluation).where(Evaluation.artifact_digest == digest)).one()
        path = str(own.per_image_path)
        other = session.scalars(
            select(Evaluation).where(Evaluation.artifact_digest == digest_of(url, "fp32"))
        ).one()
        other.per_image_path = path
    delete_build(digest, url)
    assert (settings().home / path).is_file()


def test_nothing_is_deleted_while_jobs_may_need_it(url: str) -> None:
    rows.add_measured_model(url)
    rows.add_job(url, JobStatus.QUEUED)
    with pytest.raises(InvalidRequest, match="1 queued or running job may need this build"):
        delete_build(digest_of(url, "int8"), url)
    assert len(results_frame(url)) == 3

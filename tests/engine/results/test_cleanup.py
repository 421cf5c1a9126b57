"""What something rests on is never removed, whatever else happens."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import delete, select

from db.enums import ArtifactKind, JobStatus
from db.models import Artifact, Benchmark, Evaluation
from db.session import reading, writing
from engine.cli.main import main
from engine.config import settings
from engine.errors import InvalidRequest
from engine.profiling.records import profile_folder as profiles_folder
from engine.results.cleanup import remove_unused_artifacts, stored_artifacts
from tests.support import rows


@pytest.fixture
def store(url: str) -> dict[str, str]:
    """fp32 benchmarked, fp16 evaluated, int8 unused; all built from one export."""
    rows.add_measured_model(url)
    export = "f" * 64
    with writing(url) as session:
        builds = {row.precision: row.digest for row in session.scalars(select(Artifact))}
        one = session.get(Artifact, builds["fp32"])
        values = {c.name: getattr(one, c.name) for c in Artifact.__table__.columns}
        session.add(
            Artifact(**{**values, "digest": export, "recipe": "x", "kind": ArtifactKind.EXPORT})
        )
        session.flush()
        for digest in builds.values():
            session.get(Artifact, digest).parent_digest = export
        session.execute(delete(Benchmark).where(Benchmark.artifact_digest != builds["fp32"]))
        session.execute(delete(Evaluation).where(Evaluation.artifact_digest != builds["fp16"]))
    folder = settings().folder("artifacts")
    for digest in (export, *builds.values()):
        (folder / digest).mkdir(exist_ok=True)
        (folder / digest / "model.onnx").write_bytes(b"x" * 1000)
    return {**builds, "export": export}


def left(url: str) -> set[str]:
    with reading(url) as session:
        return set(session.scalars(select(Artifact.digest)))


def test_only_what_nothing_rests_on_goes(url: str, store: dict[str, str]) -> None:
    for precision in ("fp32", "int8"):
        profiles_folder(store[precision]).mkdir(parents=True)
    assert [one.digest for one in remove_unused_artifacts(url)] == [store["int8"]]
    assert left(url) == {store[name] for name in ("fp32", "fp16", "export")}
    folder = settings().home / "artifacts"
    assert {path.name for path in folder.iterdir()} == left(url)
    profiles = profiles_folder("x").parent
    assert {path.name for path in profiles.iterdir()} == {store["fp32"]}, "profiles go along"
    assert remove_unused_artifacts(url) == []


def test_uses_are_named(url: str, store: dict[str, str]) -> None:
    uses = {one.digest: one.used_by for one in stored_artifacts(url)}
    assert uses[store["fp32"]] == ("1 benchmark",)
    assert uses[store["fp16"]] == ("1 evaluation",)
    assert uses[store["export"]] == ("a build in use",)
    assert uses[store["int8"]] == ()


def test_an_export_goes_with_its_last_build(url: str, store: dict[str, str]) -> None:
    with writing(url) as session:
        session.execute(delete(Benchmark))
        session.execute(delete(Evaluation))
    assert len(remove_unused_artifacts(url)) == 4
    assert left(url) == set()


def test_live_jobs_stop_the_cleaning(url: str, store: dict[str, str]) -> None:
    rows.add_job(url, JobStatus.QUEUED)
    with pytest.raises(InvalidRequest, match="may need any artifact"):
        remove_unused_artifacts(url)
    assert len(left(url)) == 4


def test_strays_go_but_only_those_of_the_store(url: str, store: dict[str, str]) -> None:
    folder = settings().home / "artifacts"
    (folder / ("9" * 64)).mkdir()
    (folder / "my notes").mkdir()
    gone = {one.digest for one in remove_unused_artifacts(url)}
    assert "9" * 64 in gone
    assert (folder / "my notes").is_dir()


def test_strays_stay_where_the_database_is_elsewhere(
    url: str, store: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = settings().home / "artifacts" / ("9" * 64)
    stray.mkdir()
    monkeypatch.setenv("DATABASE_URL", url)
    settings.cache_clear()
    remove_unused_artifacts(url)
    assert stray.is_dir()


def test_the_commands(url: str, store: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["artifacts", "clean", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] is False
    assert len(left(url)) == 4
    assert main(["artifacts", "clean", "--yes"]) == 0
    assert len(left(url)) == 3
    capsys.readouterr()
    assert main(["artifacts", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert len(listed) == 3
    assert not any(one["removable"] for one in listed)

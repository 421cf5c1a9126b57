"""The home as a cache: the least recently used goes, never what only this home has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from db.models import Job
from db.session import writing
from engine.cli.main import main
from engine.config import settings
from engine.store import artifacts, cache, shared
from engine.store.objects import shared_store
from tests.support.tiny import Quiet, store_build, tiny_se_model


@pytest.fixture
def builds(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three builds in a home for about one and a half, the first the longest unused."""
    monkeypatch.setenv("SENET_STORE", f"file://{tmp_path}/store")
    settings.cache_clear()
    models = [f"onnx/tiny{number}" for number in range(3)]
    digests = [
        store_build(url, tiny_se_model(seed=n), model_id=model).digest
        for n, model in enumerate(models)
    ]
    folders = [settings().home / "artifacts" / digest for digest in digests]
    for number, folder in enumerate(folders):
        os.utime(folder, (1000, 1000 + number))
    size = sum(file.stat().st_size for file in folders[0].iterdir())
    monkeypatch.setenv("SENET_STORE_CACHE_GB", str(1.5 * size / 1e9))
    settings.cache_clear()
    return folders


def test_the_least_recently_used_makes_room(builds: list[Path], url: str) -> None:
    artifacts.folder_of(builds[0].name)  # used now
    assert cache.trim(url) == builds[1:]
    assert [folder.is_dir() for folder in builds] == [True, False, False]
    assert artifacts.folder_of(builds[1].name).is_dir(), "it is fetched again"
    assert cache.trim(url) == [], "both were used just now"


def test_what_only_this_home_has_stays(builds: list[Path], url: str) -> None:
    store = shared_store()
    assert store is not None
    store.remove(f"artifacts/{builds[0].name}")
    store.remove(f"artifacts/{builds[1].name}/model.onnx")
    assert cache.trim(url) == [builds[2]]


def test_what_a_running_job_may_use_stays(builds: list[Path], url: str, tmp_path: Path) -> None:
    running = Quiet(url, tmp_path / "work")
    with writing(url) as session:
        session.get_one(Job, running.job_id).started_at = 1001.0
    assert cache.trim(url) == builds[:1]


def test_push_uploads_what_the_store_lacks(
    builds: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    store = shared_store()
    assert store is not None
    store.remove(f"artifacts/{builds[2].name}")
    result = settings().folder("results") / "images-x.npz"
    result.write_bytes(b"figures")
    assert main(["store", "push"]) == 0
    assert "4 files and artifacts, 2 uploaded" in " ".join(capsys.readouterr().err.split())
    assert store.exists(f"artifacts/{builds[2].name}/{shared.FILES}")
    assert [folder.is_dir() for folder in builds] == [False, False, True], "then it makes room"


def test_without_a_store_push_says_so(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "push"]) == 1
    assert "No shared store is set: set SENET_STORE" in " ".join(capsys.readouterr().err.split())

"""Sets inside the home move with it, and built-in ones can be drawn again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from db.migrate import upgrade
from db.models import Dataset
from db.session import connect, reading, writing
from engine.cli import dataset as commands
from engine.cli.main import main
from engine.config import settings
from engine.datasets import registration as registering
from engine.datasets.reader import open_index
from engine.datasets.registration import check_folder, find_dataset, register, root_of
from engine.demo import images
from engine.jobs.supervisor import run_job
from engine.store.database import prepare_database
from tests.support.tiny import Quiet, image_folder


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in sets with one image a class, and jobs that run here."""
    monkeypatch.setitem(images.BUILTIN, "demo", images.Split("evaluation", 1, 0))

    def here(ids: list[int], url: str) -> list:
        for job_id in ids:
            run_job(url, job_id)
        return [commands.store.get(url, job_id) for job_id in ids]

    monkeypatch.setattr(commands, "watch_jobs", here)


def add(url: str, folder: Path, name: str) -> Dataset:
    register(name, check_folder(folder, None, lambda done, total: None), url)
    return find_dataset(name, url)


def test_a_set_inside_the_home_is_found_wherever_the_home_is(
    url: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = add(url, image_folder(home / "datasets" / "mine", 2), "inside")
    outside = add(url, image_folder(tmp_path / "elsewhere", 2), "outside")
    assert (inside.root, outside.root) == ("datasets/mine", str(tmp_path / "elsewhere"))
    connect(url).dispose()
    home.rename(tmp_path / "moved")
    monkeypatch.setenv("SENET_HOME", str(tmp_path / "moved"))
    settings.cache_clear()
    moved = prepare_database()
    for name in ("inside", "outside"):
        index = open_index(find_dataset(name, moved))
        assert (index.root / index.files[0]).is_file()
    assert main(["dataset", "check", "inside"]) == 0


def test_roots_of_before_become_relative(url: str, home: Path) -> None:
    roots = {
        "mine": f"{home}/datasets/mine",
        "demo": "/an/older/place/datasets/demo",
        "outside": "/data/outside",
        "demo-calibration": "/data/my own demo",
    }
    with writing(url) as session:
        for name, root in roots.items():
            session.add(_row(name, root))
    with connect(url).begin() as connection:
        connection.execute(text("DROP TABLE annotation"))
        connection.execute(text("DROP TABLE home"))
        connection.execute(text("DROP TABLE host"))
        connection.execute(text("ALTER TABLE job DROP COLUMN wants"))
        connection.execute(text("ALTER TABLE job DROP COLUMN home"))
        connection.execute(text("ALTER TABLE job DROP COLUMN partial_result"))
        connection.execute(text("ALTER TABLE job_need DROP COLUMN optional"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    upgrade(url, home)
    with reading(url) as session:
        found = {row.name: row.root for row in session.query(Dataset)}
    assert found == {**roots, "mine": "datasets/mine", "demo": "datasets/demo"}


def _row(name: str, root: str) -> Dataset:
    return Dataset(
        name=name, root=root, layout="x", digest="0" * 64, num_images=1, num_classes=1, report={}
    )


def test_a_built_in_set_says_how_to_draw_it_again(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = Quiet(url, tmp_path / "work")
    registering.run({"name": "demo", "builtin": True}, context)
    row = find_dataset("demo", url)
    folder = root_of(row)
    whole = {path.name for path in folder.iterdir()}
    victim = next(folder.rglob("*.png"))
    for damage in (victim.unlink, lambda: shutil.rmtree(folder), lambda: folder.mkdir()):
        damage()
        capsys.readouterr()
        assert main(["dataset", "check", "demo"]) == 1
        text = " ".join(capsys.readouterr().err.split())
        assert "`dataset draw demo` generates it again." in text
    registering.run({"name": "demo", "builtin": True, "anew": True}, context)
    assert find_dataset("demo", url).digest == row.digest
    assert {path.name for path in folder.iterdir()} == whole
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
    assert main(["dataset", "check", "demo"]) == 0


def test_only_built_in_sets_are_drawn(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "draw", "mine"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "'mine' is not a built-in dataset; choose demo or demo-calibration." in said


def test_a_set_of_a_users_own_says_how_to_register_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = image_folder(tmp_path / "mine", 2)
    add(url, folder, "mine")
    shutil.rmtree(folder)
    assert main(["dataset", "check", "mine"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"{folder} of dataset 'mine' is missing; restore it, or register" in said

"""Shards on two machines: homes of their own, one database, one store, processes of their own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from db.models import Evaluation
from db.session import reading
from engine.config import REPOSITORY, settings
from engine.datasets.reader import open_index
from engine.datasets.registration import find_dataset
from engine.errors import DatasetInvalid
from engine.specs import evaluations, shard_ranges
from engine.store import shared
from engine.store.objects import ObjectStore, shared_store
from tests.support.tiny import image_folder, labeled_by, store_build, tiny_se_model

BATCH = 4
pytestmark = pytest.mark.integration


@dataclass
class Machines:
    """What the machines share, and the spec that they evaluate."""

    folder: Path
    url: str
    spec: dict[str, Any]
    images: Path

    def command(self, name: str, ranges: list[Any], shard_images: int, **more: Any) -> Any:
        """A process that evaluates in the home `name`; the homes of the others are not there."""
        asked = {"spec": self.spec, "ranges": ranges, "shard_images": shard_images, **more}
        environment = {
            **os.environ,
            "SENET_HOME": str(self.folder / f"home-{name}"),
            "SENET_HOST_LOCK": str(self.folder / f"{name}.lock"),
            "DATABASE_URL": self.url,
            "PYTHONPATH": str(REPOSITORY),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.other_home", json.dumps(asked)],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def evaluate(
        self, name: str, ranges: list[Any], shard_images: int, **more: Any
    ) -> dict[str, Any]:
        """As `command`, to its end; while it runs, the homes of the others are moved away."""
        away = [home for home in self.folder.glob("home-*") if home.name != f"home-{name}"]
        for home in away:
            home.rename(home.with_name(f"away-{home.name}"))
        try:
            return finish(self.command(name, ranges, shard_images, **more))
        finally:
            for home in away:
                home.with_name(f"away-{home.name}").rename(home)

    def forget(self) -> None:
        """Removes what was evaluated, so that it is evaluated anew."""
        with reading(self.url) as session:
            found = [row.per_image_path for row in session.query(Evaluation)]
        from db.session import writing

        with writing(self.url) as session:
            session.query(Evaluation).delete()
        for name in found:
            shared.remove(str(name))
        for home in self.folder.glob("home-*"):
            shutil.rmtree(home / "results", ignore_errors=True)

    def result(self) -> tuple[str, Evaluation]:
        """SHA-256 of the columns of the one evaluation, as this home fetches them; its row."""
        with reading(self.url) as session:
            row = session.query(Evaluation).one()
        path = settings().home / str(row.per_image_path)
        path.unlink(missing_ok=True)
        assert shared.fetch(path)
        assert row.images == row.images_planned == 120
        return hashlib.sha256(path.read_bytes()).hexdigest(), row


def finish(process: Any) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return {**json.loads(out.splitlines()[-1]), "log": err}


@pytest.fixture
def machines(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """A database and a store outside the homes; this process is the machine of the dashboard."""
    common = tmp_path / "common"
    common.mkdir()
    shutil.copyfile(settings().home / "senet.db", common / "senet.db")
    for name, value in {
        "DATABASE_URL": f"sqlite:///{common}/senet.db",
        "SENET_STORE": f"file://{common}/store",
        "SENET_DATA_ROOTS": str(tmp_path / "roots"),
        "SENET_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    shared_url = settings().url
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "roots" / "deep" / "set"), shared_url)
    artifact = store_build(shared_url, model)
    spec = {"artifact": artifact.digest, "dataset": "tiny", "batch": BATCH}
    return Machines(tmp_path, shared_url, spec, tmp_path / "roots" / "deep" / "set")


def ranges_of(monkeypatch: pytest.MonkeyPatch, shard_images: int) -> list[tuple[int, int]]:
    monkeypatch.setattr(evaluations, "SHARD_IMAGES", shard_images)
    return shard_ranges(120, BATCH)


def test_one_two_and_six_shards_on_one_and_two_machines_give_the_same_bits(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.evaluate("alone", [None], 120)
    expected, row = machines.result()
    assert row.top1_count == 120, "the labels are the model's own answers"
    for count, shard_images in ((1, 120), (2, 60), (6, 20)):
        ranges = ranges_of(monkeypatch, shard_images)
        assert len(ranges) == count
        two = [ranges[::2], ranges[1::2]]
        for split in {1: [[ranges]], 2: [two], 6: [[ranges], two]}[count]:
            machines.forget()
            for name, part in zip("ab", split, strict=False):
                answer = machines.evaluate(name, part, shard_images)
                assert answer["home"] == str(machines.folder / f"home-{name}")
            joined = machines.evaluate("b", [None], shard_images)
            said = [text for text in joined["said"] if "already evaluated" in text]
            assert said == ["Resumed: 120 images are already evaluated."], joined
            assert machines.result()[0] == expected, (count, len(split))
    store = shared_store()
    assert store is not None
    assert store.files("evaluations") == [], "shards are removed once they are joined"


def test_two_machines_at_the_same_time(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = ranges_of(monkeypatch, 20)
    both = [
        machines.command(name, part, 20) for name, part in (("a", ranges[::2]), ("b", ranges[1::2]))
    ]
    answers = [finish(process) for process in both]
    assert all("notes" not in result for answer in answers for result in answer["results"])
    machines.evaluate("c", [None], 20)
    assert machines.result()[1].top1_count == 120


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"facts": {"packages": {"numpy": "1.0"}}}, "numpy 1.0 here, .* there. Install the same"),
        ({"facts": {"isa": ["avx2"]}}, "the processors have other instruction sets"),
        ({"bits": "0"}, "gives other bits here, although the libraries are the same"),
    ],
)
def test_a_machine_with_other_outputs_computes_no_shard_and_says_why(
    other: dict[str, Any], sentence: str, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = ranges_of(monkeypatch, 60)
    machines.evaluate("a", ranges[:1], 60)
    answer = machines.evaluate("b", ranges[1:], 60, **other)
    (note,) = answer["results"][0]["notes"]
    assert note in answer["said"]
    assert note.startswith("This machine does not join the shards of this evaluation by ")
    import re

    assert re.search(sentence, note), note
    joined = machines.evaluate("a", [None], 60)
    assert "Resumed: 60 images are already evaluated." in joined["said"]
    assert machines.result()[1].top1_count == 120


def test_a_machine_that_may_not_compute_joins_what_others_computed(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges, old = ranges_of(monkeypatch, 60), {"packages": {"numpy": "1.0"}}
    machines.evaluate("a", ranges, 60)
    joined = machines.evaluate("b", [None], 60, facts=old)
    assert "Resumed: 120 images are already evaluated." in joined["said"]
    first, row = machines.result()
    again = machines.evaluate("a", [None], 60)
    assert again["results"][0] == {**again["results"][0], "evaluation": row.id, "reused": True}
    machines.forget()
    machines.evaluate("a", ranges[:1], 60)
    alone = machines.evaluate("b", [None], 60, facts=old)
    assert any(text.startswith("All images are evaluated here. ") for text in alone["said"])
    assert machines.result()[0] == first


def test_a_damaged_shard_is_computed_again(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = ranges_of(monkeypatch, 60)
    machines.evaluate("a", ranges, 60)
    store = shared_store()
    assert isinstance(store, ObjectStore)
    victim = next(one.name for one in store.files("evaluations") if "00000000-" in one.name)
    store.put_text(victim, "damaged")
    joined = machines.evaluate("b", [None], 60)
    assert f"{victim} in the store {store.url} is damaged" in joined["log"]
    assert "Resumed: 60 images are already evaluated." in joined["said"]
    assert machines.result()[1].top1_count == 120


def test_a_dataset_is_found_by_its_content(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = find_dataset("tiny", machines.url)
    monkeypatch.setenv("SENET_HOME", str(machines.folder / "home-other"))
    moved = machines.folder / "roots" / "elsewhere"
    machines.images.rename(moved)
    decoy = shutil.copytree(moved, machines.folder / "roots" / "decoy")
    victim = sorted(decoy.rglob("*.png"))[5]
    victim.write_bytes(victim.read_bytes() + b" ")
    settings.cache_clear()
    index = open_index(dataset)
    assert index.root == moved, "the decoy has one other file"
    moved.rename(machines.folder / "nowhere")
    with pytest.raises(DatasetInvalid, match=r"'tiny' are not on this machine: put .*DATA_ROOTS"):
        open_index(dataset)

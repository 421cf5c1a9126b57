"""Recipes of evaluations hold the kernel class; those of before are rewritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config

from db.migrate import MIGRATIONS
from db.models import Evaluation, Job
from db.session import connect, reading, writing
from engine.common import environment
from engine.common.digests import data_digest
from engine.config import settings
from engine.evaluation import job as evaluation
from engine.evaluation.task import Task, prepare
from engine.specs import EvaluateSpec
from tests.support.tiny import Quiet, image_folder, labeled_by, store_build, tiny_se_model


def spec_of(artifact: str, **more: Any) -> EvaluateSpec:
    return EvaluateSpec.model_validate(
        {"artifact": artifact, "dataset": "tiny", "batch": 8, **more}
    )


def recipe_of_before(task: Task) -> str:
    """As earlier versions made it, with all facts of the machine."""
    return data_digest({**task._parts(), "environment": task.surroundings.digest})


def migrate(url: str, home: Path, *, up: bool) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with connect(url).connect() as connection:
        config.attributes.update(connection=connection, home=home)
        if up:
            command.upgrade(config, "0010")
        else:
            command.downgrade(config, "0010-1")
        connection.commit()


def recipes(url: str) -> dict[int, str]:
    with reading(url) as session:
        return {row.id: row.recipe for row in session.query(Evaluation)}


def test_recipes_of_before_are_rewritten_and_back(url: str, home: Path, tmp_path: Path) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set", per_class=8), url)
    artifact = store_build(url, model).digest
    specs = [spec_of(artifact), spec_of(artifact, limit=16), spec_of(artifact, limit=99, batch=4)]
    tasks = [prepare(spec, url) for spec in specs]
    ids = [
        evaluation.run(spec.to_json(), Quiet(url, tmp_path / str(n)))["evaluation"]
        for n, spec in enumerate(specs)
    ]
    with writing(url) as session:
        rows = [session.get_one(Evaluation, number) for number in ids]
        for one, spec in zip(rows, specs, strict=True):
            session.get_one(Job, one.job_id).params = spec.to_json()
    row = rows[0]
    copied = {
        column.name: getattr(row, column.name)
        for column in Evaluation.__table__.columns
        if column.name not in ("id", "recipe", "protocol")
    }
    with writing(url) as session:
        labels = {"relabelled_from": ids[0], "label_set_sha256": "5" * 64}
        recipe = data_digest([tasks[0].recipe, "5" * 64])
        session.add(relabeled := Evaluation(**copied, recipe=recipe, protocol=labels))
        unknown = Evaluation(**copied, recipe="9" * 64, protocol=dict(row.protocol))
        session.add(unknown)
    now = recipes(url)
    assert [now[i] for i in ids] == [task.recipe for task in tasks]
    migrate(url, home, up=False)
    before = recipes(url)
    assert [before[i] for i in ids] == [recipe_of_before(task) for task in tasks]
    assert before[relabeled.id] == data_digest([before[ids[0]], "5" * 64])
    assert before[unknown.id] == "9" * 64, "what is not understood stays"
    migrate(url, home, up=True)
    assert recipes(url) == now
    again = evaluation.run(specs[0].to_json(), Quiet(url, tmp_path / "again"))
    assert (again["evaluation"], again["reused"]) == (ids[0], True)


def test_the_name_of_the_machine_is_no_part_of_a_recipe(
    url: str, tmp_path: Path, monkeypatch: Any
) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set", per_class=4), url)
    spec = spec_of(store_build(url, model).digest)
    here = prepare(spec, url)
    found = {"plan": here.plan, "recipe": here.recipe}
    others = {"name": ("host", "other"), "memory": ("memory_gb", 3), "isa": ("isa", ["avx2"])}
    facts = here.surroundings.facts
    for what, (fact, value) in others.items():
        machine = replace(here.surroundings, facts={**facts, fact: value})
        monkeypatch.setattr(environment, "observe_machine", lambda machine=machine: machine)
        there = prepare(spec, url)
        assert there.plan == found["plan"], what
        assert (there.recipe == found["recipe"]) == (what != "isa"), what
        assert there.surroundings.digest != here.surroundings.digest, "a benchmark keeps all facts"


def test_threads_of_a_batch_are_part_of_a_recipe(
    url: str, tmp_path: Path, monkeypatch: Any
) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set", per_class=4), url)
    spec = spec_of(store_build(url, model).digest)
    found = {}
    for threads in ("1", "2", "4", "8"):
        monkeypatch.setenv("SENET_THREADS", threads)
        settings.cache_clear()
        found[threads] = prepare(spec, url).recipe
    assert found["1"] == found["2"] == found["4"] != found["8"]

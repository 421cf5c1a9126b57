"""The migrations make exactly the tables that the code declares."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from db.migrate import MIGRATIONS, is_current, revisions, upgrade
from db.models import Base, Evaluation, Run
from db.session import connect, reading, writing

pytestmark = pytest.mark.integration


def test_an_upgraded_database_is_what_the_code_declares(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    assert not is_current(url)
    upgrade(url)
    assert is_current(url)
    with connect(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    assert set(Base.metadata.tables) <= set(inspect(connect(url)).get_table_names())


def test_the_names_of_the_files_are_the_revisions_in_their_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    assert revisions() == tuple(script.revision for script in scripts)


def test_upgrading_twice_keeps_the_rows(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    upgrade(url)
    with writing(url) as session:
        session.add(Run(title="kept", request={}))
    upgrade(url)
    with reading(url) as session:
        assert [run.title for run in session.query(Run)] == ["kept"]


def test_sqlite_runs_in_wal_with_foreign_keys(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path / 'a.db'}").connect() as connection:
        pragmas = [connection.scalar(text(f"PRAGMA {p}")) for p in ("journal_mode", "foreign_keys")]
        assert pragmas == ["wal", 1]
        assert connection.scalar(text("PRAGMA busy_timeout")) >= 5000


def test_rows_carry_the_time_of_the_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    upgrade(url)
    with writing(url) as session:
        session.add(run := Run(title="now", request={}))
    assert abs(run.created_at - time.time()) < 5


def test_rows_of_the_first_schema_survive_the_second(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    import db.migrate

    url = f"sqlite:///{tmp_path / 'a.db'}"
    config = Config()
    folder = Path(db.migrate.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    with connect(url).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.commit()
    with connect(url).begin() as connection:
        for statement in FIRST_SCHEMA_ROWS:
            connection.execute(text(statement))
    upgrade(url)
    with reading(url) as session:
        row = session.query(Evaluation).one()
    assert (row.top1_count, row.label_set, row.images_planned) == (7, "dataset", None)
    with pytest.raises(IntegrityError, match="one_subject"), writing(url) as session:
        session.get(Evaluation, row.id).artifact_digest = None  # type: ignore[union-attr]


FIRST_SCHEMA_ROWS = (
    "INSERT INTO model (id, source, name, architecture, in_catalogue) "
    "VALUES ('onnx/a', 'onnx', 'a', 'a', 0)",
    "INSERT INTO environment (digest, label, facts) VALUES ('e', 'A CPU', '{}')",
    "INSERT INTO weights (digest, model_id, kind, origin, size_bytes) "
    "VALUES ('w', 'onnx/a', 'file', 'x', 1)",
    "INSERT INTO artifact (digest, recipe, kind, model_id, weights_digest, weights_kind, format, "
    "precision, size_bytes, manifest) "
    "VALUES ('d', 'r', 'build', 'onnx/a', 'w', 'file', 'onnx', 'fp32', 1, '{}')",
    "INSERT INTO evaluation (recipe, artifact_digest, environment_digest, dataset_name, "
    "dataset_digest, preprocess, images, images_in_dataset, top1_count, top5_count, at_chance, "
    "per_image_path, protocol) "
    "VALUES ('r', 'd', 'e', 'val', 's', '{}', 10, 10, 7, 9, 0, 'x.npz', '{}')",
)

"""Every button of every page, found by itself and pressed once: none may crash.

A button may be refused (a form that is empty), but with a sentence of the engine. Each is pressed
on the database as it was before, so that what one removes another still finds.
"""

from __future__ import annotations

import ast
import json
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from dashboard.components.common import package
from dashboard.components.run_form import choices
from dashboard.components.run_form.kinds import BUILT_IN
from dashboard.queries import checkpoints
from db.enums import JobKind, JobStatus
from db.models import Artifact, Dataset
from db.session import connect, reading, writing
from engine.classify import client
from engine.config import REPOSITORY, settings
from engine.datasets.classes import ClassSource
from engine.datasets.locating import index_path
from engine.export.file_check import FileCheck, FileFacts
from engine.store.artifacts import MODEL_FILE
from engine.weights.identify import Identified
from tests.support import rows
from tests.support.answering import classified, png
from tests.support.build_files import TODAY
from tests.support.foreign import FOREIGN
from tests.support.pages import at

PAGES = sorted(path.stem for path in (REPOSITORY / "dashboard" / "app_pages").glob("*.py"))
KINDS = ("button", "download_button")
BUTTONS = (*KINDS, "form_submit_button")
CRASHED = ("failed unexpectedly", "database could not be")
NOT_HERE = {"login.py"}  # there are none unless a login is set up


def test_every_button_can_be_pressed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "classify", classified)
    before = set(sys.modules)
    held = Identified(model_id="timm/legacy_seresnet18")
    monkeypatch.setattr(checkpoints, "identify", lambda path, key, guesses: held)
    declared = FileFacts(17, "", "224 x 224 NCHW float32", None, ("scores",), 1001, 10)
    monkeypatch.setattr(
        choices, "check_onnx_file", lambda path, runtimes: FileCheck(facts=declared)
    )
    pressed = {label for page in PAGES for label in press_all(url, page, nothing_more)}
    fill(url)
    for page in PAGES:
        pressed |= set(press_all(url, page, nothing_more))
    for page, further in FURTHER:
        pressed |= set(press_all(url, page, further))
    monkeypatch.setattr(package, "MAX_DOWNLOAD_BYTES", 0)
    pressed |= set(press_all(url, "results", _a_selected_row))  # the last: it deletes files
    assert not {name.partition(".")[0] for name in set(sys.modules) - before} & set(FOREIGN)
    missed = [
        f"{place}: {label.pattern}"
        for place, label in buttons_of_the_code()
        if not any(label.fullmatch(one) for one in pressed)
    ]
    assert not missed, "buttons that no page showed: give the test rows or choices that show them"


def press_all(url: str, page: str, further: Callable[[AppTest], None]) -> Iterator[str]:
    """Presses each enabled button of a page, once; yields what is written on it."""
    shown = opened(page, further)
    assert not problems(shown), (page, problems(shown))
    labels = [[button.label for button in enabled(shown, kind)] for kind in KINDS]
    for kind, found in zip(KINDS, labels, strict=True):
        for place, label in enumerate(found):
            with unchanged(url):
                app = opened(page, further)
                enabled(app, kind)[place].click().run()
                assert not problems(app), (page, label, problems(app))
            yield label


def opened(page: str, further: Callable[[AppTest], None]) -> AppTest:
    app = at(page, id="1")
    app.session_state["chosen_job"] = 4
    app.run()
    further(app)
    return app


def enabled(app: AppTest, kind: str) -> list:
    return [button for button in app.get(kind) if not button.proto.disabled]


def problems(app: AppTest) -> list[str]:
    """Tracebacks, and boxes that say that something crashed."""
    boxes = [str(box.value) for box in (*app.error, *app.toast)]
    crashed = [text for text in boxes if any(words in text for words in CRASHED)]
    return [str(one.value) for one in app.exception] + crashed


@contextmanager
def unchanged(url: str) -> Iterator[None]:
    """The database is afterwards what it was before."""
    with closing(sqlite3.connect(":memory:")) as kept:
        with closing(sqlite3.connect(settings().home / "senet.db")) as file:
            file.backup(kept)
        yield
        connect(url).dispose()
        with closing(sqlite3.connect(settings().home / "senet.db")) as file:
            kept.backup(file)


def fill(url: str) -> None:
    """Results, an artifact that nothing rests on, jobs in every state, images that are broken."""
    rows.add_measured_model(url, noise=["other processes used 1.50 cores"])
    for folder in settings().folder("artifacts").iterdir():
        (folder / MODEL_FILE).write_bytes(b"x")
    with reading(url) as session:
        made = session.scalars(select(Artifact.digest).where(Artifact.precision == "fp32")).one()
    progress = {"done": 5, "total": 10, "unit": "images", "log_tail": "a"}
    rows.add_job(url, JobStatus.RUNNING, "Build a", result={"artifact": made}, **progress)
    rows.add_job(url, JobStatus.QUEUED, "Build b")
    wrong, now = {"error_kind": "BuildFailed"}, time.time()
    rows.add_job(url, JobStatus.FAILED, "Build c", error="No.", ended_at=now, result=wrong)
    rows.add_job(url, JobStatus.CANCELLED, "Build d", ended_at=3.0)
    rows.add_job(url, JobStatus.SUCCEEDED, "Build e", ended_at=4.0, message="done")
    kind, params = JobKind.PREPARE_DATASET, {"name": "val", "root": "/none"}
    rows.add_job(url, JobStatus.FAILED, "Dataset", ended_at=now, kind=kind, params=params)
    rows.add_measured_model(url, "random", weights_kind="random")
    rows.add_dataset(url, "broken", corrupt=1, corrupt_files=[["a.jpg", "it is cut short."]])
    with writing(url) as session:
        for forgotten in (
            "DELETE FROM benchmark WHERE images_per_s > 25",
            "DELETE FROM evaluation WHERE top1_count = 793",
        ):
            session.connection().exec_driver_sql(forgotten)
    (settings().home / "model.onnx").write_bytes(b"x")
    (settings().home / "weights.pth").write_bytes(b"PK\x03\x04")


def nothing_more(app: AppTest) -> None:
    """The page as it opens."""


def _nothing_matches(app: AppTest) -> None:
    app.text_input(key="model").set_value("nothing like it").run()


def _a_selected_row(app: AppTest) -> None:
    app.session_state["results_table"] = {"selection": {"rows": [5], "columns": [], "cells": []}}
    app.run()


def _only_random_weights(app: AppTest) -> None:
    app.multiselect(key="models").set_value(["timm/random (random weights)"]).run()


def _a_demo_run(app: AppTest) -> None:
    app.button_group(key="from").set_value(BUILT_IN).run()


def _a_build_file(app: AppTest) -> None:
    model = str(settings().home / "model.onnx")
    text = TODAY.replace("/models/legacy_seresnet18.onnx", model)
    text = text.replace("/images/calib", str(settings().home))
    app.file_uploader(key="build_file").upload("b.yaml", text.encode(), "text/yaml").run()


def _a_file_of_1001_outputs(app: AppTest) -> None:
    app.button_group(key="from").set_value("ONNX file").run()
    app.text_input(key="onnx_path").set_value(str(settings().home / "model.onnx")).run()


def _weights_of_another_row(app: AppTest) -> None:
    app.button_group(key="weights").set_value("From a file").run()
    path = str(settings().home / "weights.pth")
    app.text_input(key="weights_file_path").set_value(path).run()


def _a_photograph(app: AppTest) -> None:
    app.file_uploader(key="photographs").upload("cat.png", png(), "image/png").run()
    app.toggle(key="excitations").set_value(True).run()


def _an_image_that_ends_the_child(app: AppTest) -> None:
    app.file_uploader(key="photographs").upload("fatal.png", png(), "image/png").run()


def _images_kept_from_before(app: AppTest) -> None:
    app.file_uploader(key="photographs").upload("cat.png", png(), "image/png").run()
    app.switch_page("app_pages/jobs.py").run()
    app.switch_page("app_pages/classify.py").run()


def _speeds_to_import(app: AppTest) -> None:
    app.button_group(key="kind").set_value("Speeds").run()
    row = "model,precision,source,device,images_per_s\ntimm/seresnet50,int8,card,card,5\n"
    app.file_uploader(key="speeds_upload").upload("a.csv", row.encode(), "text/csv").run()


def _predictions_to_import(app: AppTest) -> None:
    with reading(settings().url) as session:
        digest = session.scalars(select(Dataset.digest).where(Dataset.name == "broken")).one()
    names = [f"{number}.png" for number in range(20)]
    index = {"files": names, "labels": [n // 2 for n in range(20)], "classes": list("abcdefghij")}
    index_path(digest).write_text(
        json.dumps({**index, "class_source": ClassSource.NAMES, "present": []})
    )
    lines = "".join(f"{name},{number // 2}\n" for number, name in enumerate(names))
    file = app.file_uploader(key="predictions_upload")
    file.upload("p.csv", f"image,top1\n{lines}".encode(), "text/csv").run()
    app.selectbox(key="import_model").set_value("timm/seresnet50")
    app.selectbox(key="import_dataset").set_value("broken")
    app.text_input(key="import_source").set_value("card X").run()


FURTHER: list[tuple[str, Callable[[AppTest], None]]] = [
    ("results", _nothing_matches),
    ("compare", _only_random_weights),
    ("new_run", _a_demo_run),
    ("new_run", _a_build_file),
    ("new_run", _a_file_of_1001_outputs),
    ("new_run", _weights_of_another_row),
    ("classify", _a_photograph),
    ("classify", _an_image_that_ends_the_child),
    ("classify", _images_kept_from_before),
    ("import_results", _speeds_to_import),
    ("import_results", _predictions_to_import),
]
"""Pages with something chosen that shows more buttons."""


def buttons_of_the_code() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Where the dashboard makes a button, and what may be written on it."""
    for path in sorted((REPOSITORY / "dashboard").rglob("*.py")):
        if path.name in NOT_HERE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "attr", "")
            if isinstance(node, ast.Call) and name in BUTTONS:
                yield f"{path.name}:{node.lineno}", re.compile(_pattern(node.args[0]))


def _pattern(label: ast.expr) -> str:
    if isinstance(label, ast.Constant):
        return re.escape(str(label.value))
    if isinstance(label, ast.IfExp):
        return f"{_pattern(label.body)}|{_pattern(label.orelse)}"
    if isinstance(label, ast.JoinedStr):
        return "".join(_pattern(part) for part in label.values)
    return ".+"

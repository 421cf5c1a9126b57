"""Page Import: columns are mapped, the preview is what is recorded; Help, Datasets, the tour."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import queries
from dashboard.charts.class_counts import class_counts, count_classes, counts_sentence
from dashboard.components.common.documents import documents, sections
from dashboard.components.common.purpose import PURPOSES
from dashboard.components.imports.speeds import detect_field
from dashboard.palette import LIGHT
from db.models import Benchmark, Dataset, Evaluation
from db.session import reading
from engine.errors import InvalidRequest, VaccFileInvalid
from engine.imports.mapping import detect_roles, write_mapped
from engine.imports.predictions import read_predictions
from engine.imports.tables import read_columns
from engine.vacc.output_folder import write_folder_predictions
from engine.vacc.result_file import write_predictions
from tests.support import rows
from tests.support.pages import opened, plain_texts


def describe(app: AppTest) -> AppTest:
    app.selectbox(key="import_model").set_value("timm/seresnet50")
    app.text_input(key="import_source").set_value("card X")
    app.selectbox(key="import_dataset").set_value("other")
    app.number_input(key="import_per_class").set_value(20)
    return app.run()


def test_predictions_are_mapped_previewed_and_imported(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # AppTest cannot enter a new option; the name itself belongs to no registered dataset.
    offered = [SimpleNamespace(name="other", digest="0")]
    monkeypatch.setattr(queries, "datasets", lambda: offered)
    path = tmp_path / "mine.npz"
    np.savez(path, best=(np.arange(200) // 20)[:, None], other=np.arange(200))
    app = opened("import_results")
    app.file_uploader(key="predictions_upload").upload("mine.npz", path.read_bytes(), "").run()
    assert "choose one column of predictions" in app.error[0].value
    (column,) = [s for s in app.selectbox if s.label == "Top classes, best first"]
    column.set_value("best").run()
    describe(app)
    assert "200 images of other, top-1 100.00 %" in plain_texts(app)
    with reading(url) as session:
        assert session.query(Evaluation).count() == 0, "nothing before the button"
    app.switch_page("app_pages/jobs.py").run()
    app.switch_page("app_pages/import_results.py").run()
    assert "Kept from before: mine.npz" in plain_texts(app)
    app.button(key="import_now").click().run()
    assert not app.exception
    with reading(url) as session:
        (row,) = session.query(Evaluation)
    assert (row.top1_count, row.dataset_name) == (200, "other")


def test_speeds_are_mapped_previewed_and_imported(url: str) -> None:
    lines = "network,FPS,batch_size,p50\ntimm/seresnet50,4321.5,8,1.85\n"
    app = opened("import_results", kind="Speeds")
    app.file_uploader(key="speeds_upload").upload("card.csv", lines.encode(), "text/csv").run()
    assert "precision, source, device" in plain_texts(app)
    for field, value in (("precision", "int8"), ("source", "card X"), ("device", "Card X")):
        (text,) = [t for t in app.text_input if t.label.startswith(f"{field},")]
        text.set_value(value)
    app.run()
    assert app.dataframe[0].value["images_per_s"].tolist() == [4321.5]
    app.button(key="import_speeds_now").click().run()
    with reading(url) as session:
        (row,) = session.query(Benchmark)
    assert (row.batch, row.images_per_s, row.latency_p50_ms) == (8, 4321.5, 1.85)


def test_columns_and_fields_are_found_by_their_usual_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", pred=np.zeros((2, 5), int), files=np.array(["a", "b"]))
    columns = read_columns(tmp_path / "p.npz")
    assert detect_roles(columns) == {"top5": "pred", "image": "files"}
    np.savez(tmp_path / "s.npz", pred=np.zeros((2, 5), np.float32))
    assert detect_roles(read_columns(tmp_path / "s.npz")) == {"scores": "pred"}
    with pytest.raises(InvalidRequest, match="choose one column"):
        write_mapped(tmp_path / "p.npz", {"image": "files"}, tmp_path / "m")
    assert detect_field("images_per_s", ["Throughput", "x"]) == "Throughput"
    assert detect_field("device", ["x"]) is None


def test_the_vendors_result_file_is_taken(tmp_path: Path) -> None:
    lines = [
        f"/val/n01440764/a{n}.JPEG: Relay top-{k} id: {k}, prob: 0.50000000, class name: x"
        for n in range(2)
        for k in range(5)
    ]
    path = tmp_path / "result.txt"
    path.write_text("\n".join(lines))
    found = read_predictions(write_predictions(path, tmp_path / "mapped"))
    assert found.top is not None
    assert found.name is not None
    assert found.top.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert found.name.tolist() == ["a0.JPEG", "a1.JPEG"]
    path.write_text("\n".join(lines[:7]))
    with pytest.raises(VaccFileInvalid, match="1 images do not have 5 lines"):
        write_predictions(path, tmp_path / "mapped")


def outputs(folder: Path, count: int = 200) -> Path:
    """Outputs of `vamp`, one file per image, 20 images of each class."""
    folder.mkdir()
    for n in range(count):
        np.savez(folder / f"{n:06d}_a{n}.npz", output_0=np.eye(10, dtype=np.float32)[[n // 20]])
    return folder


def test_a_folder_of_outputs_is_taken_by_path_and_as_a_zip_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "datasets", lambda: [SimpleNamespace(name="other", digest="0")])
    folder = outputs(tmp_path / "npz")
    app = opened("import_results")
    app.text_input(key="import_folder").set_value(str(tmp_path / "none")).run()
    assert "There is no folder" in app.error[0].value
    app.text_input(key="import_folder").set_value(str(folder)).run()
    describe(app)
    assert "200 images of other, top-1 100.00 %" in plain_texts(app)
    app.text_input(key="import_folder").set_value("").run()
    archive = shutil.make_archive(str(tmp_path / "npz"), "zip", tmp_path, "npz")
    data = Path(archive).read_bytes()
    app.file_uploader(key="predictions_upload").upload("npz.zip", data, "").run()
    assert not app.error
    assert "200 images of other, top-1 100.00 %" in plain_texts(app)


def test_outputs_that_do_not_belong_together_are_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(VaccFileInvalid, match="empty holds no npz file"):
        write_folder_predictions(tmp_path / "empty")
    folder = outputs(tmp_path / "npz", 2)
    found = read_predictions(write_folder_predictions(folder))
    assert found.name is not None
    assert found.name.tolist() == ["a0", "a1"]
    np.savez(folder / "000002_a2.npz", output_0=np.zeros((1, 7), np.float32))
    with pytest.raises(VaccFileInvalid, match="not of the same model"):
        write_folder_predictions(folder)


def test_the_histogram_counts_classes() -> None:
    counts = count_classes(np.array([0, 0, 2, -1]), 4)
    assert counts.tolist() == [2, 0, 1, 0]
    assert counts_sentence(counts) == (
        "Classes with images: 2, 1 to 2 each. Classes without images: 2."
    )
    (bar,) = class_counts(counts, ("ant", "bee", "cat"), LIGHT).data
    assert list(bar.text) == ["ant", "cat"]


def test_a_dataset_is_renamed_and_removed_on_its_page(url: str) -> None:
    rows.add_dataset(url, "val")
    app = opened("datasets")
    assert "No result was made with it." in plain_texts(app)
    app.text_input(key="new_name_val").set_value("test")
    app.button(key="rename_now_val").click().run()
    with reading(url) as session:
        assert [row.name for row in session.query(Dataset)] == ["test"]
    app.button(key="remove_now_test").click().run()
    with reading(url) as session:
        assert session.query(Dataset).count() == 0


def test_every_page_has_its_purpose_and_help_shows_its_part(url: str) -> None:
    found = documents()
    for title, purpose in PURPOSES.items():
        assert purpose.sentence.endswith("."), title
        assert purpose.anchor in sections(found[purpose.document]), title
    app = opened("help", document="dashboard", section="classify")
    assert "## Classify" in plain_texts(app)


def test_an_empty_start_offers_three_ways_in_four_steps_at_most(url: str) -> None:
    said = plain_texts(opened())
    for title in ("See how it works", "I have a model", "I have results"):
        assert f"**{title}**" in said
    assert "\n5. " not in said

"""The Classify page with builds that answer without a runtime."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import queries
from dashboard.charts.excitations import excitations, last_of_stages, takeaway
from dashboard.charts.gate_strength import gate_sentence, gate_strength, stage_means
from dashboard.components.classify import predictions
from dashboard.palette import LIGHT
from engine.classify import client
from engine.classify.predict import Classification, Prediction
from engine.config import settings
from engine.datasets.reader import DatasetIndex
from engine.jobs.locks import try_lock
from tests.support import rows
from tests.support.answering import classified, png
from tests.support.pages import at, missing, opened


@pytest.fixture
def app(url: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    rows.add_measured_model(url)
    monkeypatch.setattr(client, "classify", classified)
    return at("classify").run()


def said(app: AppTest) -> str:
    return "\n".join(str(e.value) for kind in (app.warning, app.info, app.markdown) for e in kind)


def test_two_precisions_stand_side_by_side(app: AppTest) -> None:
    app.file_uploader(key="photographs").upload("cat.png", png(), "image/png").run()
    assert not app.exception
    assert len(app.dataframe) == 2
    assert app.dataframe[0].value["probability"].tolist()[0] == 50
    assert "**cat\\.png**" in said(app)
    assert not app.toggle(key="disagreements").value


def test_refused_files_are_named_and_the_others_go_on(app: AppTest) -> None:
    uploader = app.file_uploader(key="photographs")
    uploader.upload("broken.png", b"\x89PNG\r\n\x1a\nrubbish", "image/png")
    uploader.upload("phone.heic", b"\0\0\0\x18ftypheic" + b"\0" * 20, "image/heic")
    uploader.upload("fine.png", png(), "image/png")
    uploader.upload("empty.png", b"", "image/png")
    app.run()
    refused = "\n".join(warning.value for warning in app.warning)
    assert len(app.warning) == 3
    for name in ("broken", "phone", "empty"):
        assert name in refused
    assert "save it as JPEG" in refused
    assert len(app.dataframe) == 2


def test_an_image_that_ends_the_child_is_named_and_can_be_tried_again(app: AppTest) -> None:
    for name in ("fine.png", "fatal.png", "never_asked.png"):
        app.file_uploader(key="photographs").upload(name, png(), "image/png")
    app.run()
    assert not app.exception
    (error,) = app.error
    assert error.value.replace("\\", "").startswith("fatal.png: The child process was ended by")
    assert len(app.dataframe) == 2
    assert "never" not in said(app)
    app.button(key="classify_again").click().run()
    assert len(app.error) == 1


def test_too_many_files_are_refused_by_name(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in range(33):
        app.file_uploader(key="photographs").upload(f"{place}.png", png(), "image/png")
    app.run()
    (warning,) = app.warning
    assert "32" in warning.value
    assert len(app.dataframe[0].value) == 32, "one row per image"


def test_many_files_of_one_reason_share_one_warning(app: AppTest) -> None:
    for place in range(40):
        app.file_uploader(key="photographs").upload(f"{place}.png", png(), "image/png")
    app.run()
    (warning,) = app.warning
    said = warning.value.replace("\\", "")
    assert not missing(said, "32.png", "33.png", "34.png", "5 more", "max 32 images")


def test_a_benchmark_is_not_disturbed(app: AppTest) -> None:
    lock = try_lock(Path(settings().host_lock))
    assert lock is not None
    app.file_uploader(key="photographs").upload("cat.png", png(), "image/png").run()
    assert "would disturb it" in said(app)
    assert "1 image waiting" in said(app)
    assert not app.dataframe
    os.close(lock)
    app.run()
    assert len(app.dataframe) == 2, "it went on by itself, with the image that was dropped"


def answer(*indices: int) -> Classification:
    predictions = tuple(Prediction(index, str(index), 0.1) for index in indices)
    return Classification(predictions, np.zeros((1, 1, 3), np.uint8), 0, 0, 0)


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ((1, 2, 3), (1, 2, 3), "same top-5"),
        ((1, 2, 3), (1, 3, 2), "same top-1, top-5 differs"),
        ((1, 2, 3), (2, 1, 3), "top-1 differs"),
    ],
)
def test_agreement(first: tuple[int, ...], second: tuple[int, ...], word: str) -> None:
    assert predictions.agreement(answer(*first), answer(*second))[0] == word


def test_up_to_four_builds_of_any_models(app: AppTest, url: str) -> None:
    rows.add_measured_model(url, "other", dataset="second")
    app.run()
    names = app.multiselect(key="builds").options
    others = [name for name in names if name.endswith(" in OpenVINO")]
    assert len(names) - len(others) == 6
    assert len(others) == 4, "fp32 and int8 of both; it executes no fp16, and bf16 has no build"
    app.multiselect(key="builds").set_value([*names[1:4], others[0]])
    app.file_uploader(key="photographs").upload("cat.png", png(), "image/png").run()
    assert not app.exception
    assert len(app.dataframe) == 4
    assert "timm/other" in said(app)
    assert "in OpenVINO" in said(app)


def test_samples_come_from_a_dataset_of_the_same_classes(
    app: AppTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = tuple(f"{place}.png" for place in range(9))
    for name in names:
        (tmp_path / name).write_bytes(png())
    index = DatasetIndex("val", "d", tmp_path, names, np.zeros(9, np.int32), ("a",))
    monkeypatch.setattr(queries, "dataset_index", lambda *_: index)
    app.button_group(key="source").set_value("Samples").run()
    assert not app.exception
    assert len(app.dataframe[0].value) == 4
    assert "**0\\.png**" in said(app)


def test_the_camera_is_asked_for_only_when_it_is_chosen(app: AppTest) -> None:
    assert not app.get("camera_input")
    app.button_group(key="source").set_value("Camera").run()
    assert not app.exception
    assert len(app.get("camera_input")) == 1


def test_images_survive_a_page_change_until_they_are_removed(app: AppTest) -> None:
    app.file_uploader(key="photographs").upload("cat.png", png(), "image/png").run()
    app.switch_page("app_pages/jobs.py").run()
    app.switch_page("app_pages/classify.py").run()
    assert len(app.dataframe) == 2
    app.button(key="forget_images").click().run()
    assert not app.dataframe


def test_disagreements_and_true_classes_are_shown(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_build(
        artifact: str, data: bytes, name: str, runtime: str = "onnxruntime"
    ) -> Classification:
        other = name == "tench.png" and artifact == queries.builds()[0].digest
        return answer(1 if other else 0, 2)

    monkeypatch.setattr(client, "classify", by_build)
    for name in ("tench.png", "goldfish.png", "x.png"):
        app.file_uploader(key="photographs").upload(name, png(), "image/png")
    app.run()
    assert "3 images · 1 disagreement · right:" in said(app).replace("\\", "")
    table = app.dataframe[0].value
    assert table["true class"].tolist()[:2] == ["tench, Tinca tinca", "goldfish, Carassius auratus"]
    assert table["same top-1"].tolist() == [False, True, True]
    app.toggle(key="disagreements").set_value(True).run()
    assert len(app.dataframe) == 2, "one image is left, with the top-5 of two builds"
    assert "true: tench" in said(app)


def test_random_weights_are_never_the_default(url: str) -> None:
    rows.add_measured_model(url, "random", weights_kind="random")
    app = opened("classify")
    assert app.multiselect(key="builds").value == []
    rows.add_measured_model(url)
    values = opened("classify").multiselect(key="builds").value
    assert len(values) == 2
    assert not [value for value in values if "random" in value]


def test_the_gates_of_the_stages_are_told_at_a_glance() -> None:
    image = stage_means([1, 1, 2], [0.2, 0.4, 0.9])
    assert image == {1: pytest.approx(0.3), 2: pytest.approx(0.9)}
    references = {"class mean": {1: 0.3, 2: 0.5}, "dataset mean": {1: 0.1, 2: 0.9}}
    text = gate_sentence(image, references)
    assert not missing(text, "Stage 1 gates most", "0.30", "the class mean: stage 2, +0.400")
    figure = gate_strength(image, references, LIGHT)
    assert [trace.name for trace in figure.data] == ["this image", "class mean", "dataset mean"]


def test_excitations_are_drawn_against_the_mean() -> None:
    image = [np.array([0.9, 0.1, 0.5]), np.array([0.5, 0.5])]
    mean = [np.array([0.3, 0.2, 0.1]), np.array([0.5, 0.4])]
    figure = excitations(["one", "two"], image, mean, LIGHT)
    assert list(figure.data[0].y) == [0.5, 0.1, 0.9]  # in the order of the mean
    assert list(figure.data[1].y) == [0.1, 0.2, 0.3]
    assert list(figure.data[0].text) == ["channel 2", "channel 1", "channel 0"]
    assert [annotation.text for annotation in figure.layout.annotations] == ["one", "two"]
    assert figure.layout.yaxis.title.text == "SE gate (1 = unchanged)"
    assert figure.layout.xaxis2.title.text == "channels, sorted by dataset mean"
    assert "Largest difference from the dataset mean: one," in takeaway(image, mean, ["one", "two"])
    assert "switches it off" in takeaway(image, None, ["one", "two"])
    assert last_of_stages([1, 1, 2, 3, 3]) == [1, 2, 4]

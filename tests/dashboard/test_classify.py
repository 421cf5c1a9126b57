"""The Classify page with builds that answer without a runtime."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.components import classify_view
from engine.classify import Classified, Guess
from engine.config import REPOSITORY, settings
from engine.jobs.locks import try_lock
from engine.preprocess import open_image
from tests.dashboard import rows


class Answering:
    """Decodes as the real one does, then always says the same."""

    def classify(self, data: bytes, name: str) -> Classified:
        open_image(data, name)
        guesses = tuple(Guess(i, f"class [{i}]", 0.5 / (i + 1)) for i in range(5))
        return Classified(guesses, np.zeros((8, 8, 3), np.uint8), 1.0, 2.0, 3.0)


@pytest.fixture
def app(url: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    rows.add_measured_model(url)
    monkeypatch.setattr(classify_view, "classifier", lambda digest, _artifact: Answering())
    page = AppTest.from_file(str(REPOSITORY / "dashboard" / "app.py"), default_timeout=30)
    page.run()
    return page.switch_page("app_pages/classify.py").run()


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(stream, "PNG")
    return stream.getvalue()


def said(app: AppTest) -> str:
    return "\n".join(str(e.value) for kind in (app.warning, app.info, app.markdown) for e in kind)


def test_two_precisions_stand_side_by_side(app: AppTest) -> None:
    app.file_uploader(key="photographs").upload("cat.png", png(), "image/png").run()
    assert not app.exception
    assert len(app.dataframe) == 2
    assert app.dataframe[0].value["probability"].tolist()[0] == 0.5
    assert "**cat\\.png**" in said(app)


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


def test_too_many_files_are_refused_by_name(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in range(33):
        app.file_uploader(key="photographs").upload(f"{place}.png", png(), "image/png")
    app.run()
    (warning,) = app.warning
    assert "32" in warning.value
    assert len(app.dataframe) == 64


def test_a_benchmark_is_not_disturbed(app: AppTest) -> None:
    lock = try_lock(Path(settings().host_lock))
    assert lock is not None
    app.file_uploader(key="photographs").upload("cat.png", png(), "image/png").run()
    assert "would falsify it" in said(app)
    assert not app.dataframe


def answer(*indices: int) -> Classified:
    guesses = tuple(Guess(index, str(index), 0.1) for index in indices)
    return Classified(guesses, np.zeros((1, 1, 3), np.uint8), 0, 0, 0)


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ((1, 2, 3), (1, 2, 3), "same top-5"),
        ((1, 2, 3), (1, 3, 2), "same top-1, top-5 differs"),
        ((1, 2, 3), (2, 1, 3), "top-1 differs"),
    ],
)
def test_agreement(first: tuple[int, ...], second: tuple[int, ...], word: str) -> None:
    assert classify_view.agreement(answer(*first), answer(*second))[0] == word

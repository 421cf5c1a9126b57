"""Row actions of Results: tag and note, hide, delete; the filters that follow."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.support import rows
from tests.support.pages import opened, plain_texts


def selected(app: AppTest, row: int = 0) -> AppTest:
    app.session_state["results_table"] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    return app.run()


def digest_in(app: AppTest) -> str:
    return next(field.key for field in app.text_input if field.key.startswith("tag_"))[4:]


def test_a_row_is_tagged_hidden_and_deleted(url: str) -> None:
    rows.add_measured_model(url)
    app = selected(opened("results"))
    digest = digest_in(app)
    app.text_input(key=f"tag_{digest}").set_value("board A")
    app.text_area(key=f"note_{digest}").set_value("fits")
    app.button(key="save_annotation").click().run()
    app = selected(opened("results", tag="board A"))
    assert app.dataframe[0].value["tag"].tolist() == ["board A"]
    assert digest_in(app) == digest
    app.button(key="hide_build").click().run()
    app = opened("results")
    assert len(app.dataframe[0].value) == 2
    app.toggle(key="hidden").set_value(True).run()
    assert len(app.dataframe[0].value) == 3
    app = selected(opened("results"))
    assert "with 1 benchmark and 1 evaluation" in plain_texts(app)
    app.button(key="delete_build").click().run()
    assert not app.exception
    assert len(opened("results").dataframe[0].value) == 1


def test_an_unknown_tag_in_a_link_is_said(url: str) -> None:
    rows.add_measured_model(url)
    app = selected(opened("results"))
    app.text_input(key=f"tag_{digest_in(app)}").set_value("here")
    app.button(key="save_annotation").click().run()
    assert "gone" in plain_texts(opened("results", tag="gone"))

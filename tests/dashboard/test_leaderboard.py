"""The leaderboard of Compare, the links to it, and charts of several runtimes."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
import streamlit as st

from dashboard.components.common.links import link_to
from dashboard.components.compare import leaderboard
from dashboard.components.compare.side_by_side import PICKED, pick_keys
from tests.support import day, rows
from tests.support.pages import figures, missing, opened, plain_texts


def test_every_build_and_every_published_row_is_in_the_leaderboard(url: str) -> None:
    day.fill(url)
    app = opened()
    table = next(d.value for d in app.dataframe if "status" in d.value)
    published = table[table["status"] == "published"]
    assert len(published) == 25
    assert published["top1"].is_monotonic_decreasing
    assert published["images_per_s"].isna().all()
    own = table[table["status"] != "published"]
    assert own.iloc[0]["status"] == "recommended"
    assert set(day.IMPORTED) <= {label.split("/")[1].split(" ")[0] for label in own["label"]}
    assert len(own) == 3 * 3 + 6, "each build once, in its best runtime"


def test_equal_compute_in_several_runtimes_is_drawn_in_charts_of_their_own(url: str) -> None:
    day.fill(url)
    first, second, *_ = figures(opened(x="GMACs", runtime="each runtime"))
    assert first["layout"]["xaxis"]["range"] == second["layout"]["xaxis"]["range"]
    assert first["layout"]["yaxis"]["range"] == second["layout"]["yaxis"]["range"]
    together = figures(opened(x="Throughput", runtime="each runtime"))[0]
    assert any("OV" in str(text) for t in together["data"] for text in t.get("text", ()))


def test_selected_rows_are_compared_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict = {leaderboard.KEY: {"selection": {"rows": [2, 0, 1]}}}
    monkeypatch.setattr(st, "session_state", state)
    keys = leaderboard.selected_keys(pd.Series(["a fp32", "", "a int8"]))
    assert keys == ["a int8", "a fp32"], "a published row has no build"
    pick_keys(keys)
    assert state[PICKED] == keys


def test_a_link_pins_all_choices() -> None:
    values = {
        "images": "val · 1,000 images",
        "models": ["timm/a", "timm/b"],
        "most_drop": None,
        "most_latency": 2.5,
        "published": True,
    }
    asked = parse_qs(urlsplit(link_to("http://x:1/?old=1", values)).query, keep_blank_values=True)
    assert asked == {
        "images": ["val · 1,000 images"],
        "models": ["timm/a", "timm/b"],
        "most_drop": [""],
        "most_latency": ["2.5"],
        "published": ["true"],
    }


def test_what_a_link_asks_for_in_vain_is_said(url: str) -> None:
    rows.add_measured_model(url)
    app = opened(images="another set", view="No view", x="Weight", setting="batch 99 · a machine")
    said = plain_texts(app)
    assert not missing(said, "another set", "No view", "Weight", "batch 99")
    assert not missing(said, "Shown instead: val · 1,000 images", "Shown instead: Throughput")
    app.selectbox(key="x").select("GMACs").run()
    assert "Weight" not in plain_texts(app), "another choice was made"
    assert "another set" in plain_texts(app)
    assert "link asks" not in plain_texts(opened(x="GMACs", view="Latency"))


def test_a_picked_build_that_is_gone_is_said(url: str) -> None:
    rows.add_measured_model(url)
    assert "gone fp32" in plain_texts(opened(**{PICKED: "timm/gone fp32"}))

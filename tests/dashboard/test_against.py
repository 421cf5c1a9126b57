"""Model vs baseline: paired differences as the engine computes them, for any baseline."""

from __future__ import annotations

import pandas as pd
import pytest

from dashboard.charts.baseline import baseline_differences, brief_keys
from dashboard.palette import LIGHT
from engine.results.recommend import most_accurate_text
from engine.results.wording import baseline_summary
from tests.support import rows
from tests.support.pages import missing, opened, plain_texts

FOUND = pd.DataFrame(
    {
        "key": ["timm/a fp32", "timm/b int8"],
        "precision": ["fp32", "int8"],
        "change": [-0.4, -2.0],
        "change_low": [-1.0, -2.5],
        "change_high": [0.2, -1.5],
        "p_value": [0.2, 1e-9],
        "only_build": [10, 3],
        "only_baseline": [14, 23],
    }
)


def test_each_build_has_its_interval_and_its_figure() -> None:
    figure = baseline_differences(FOUND, "timm/c fp32", LIGHT)
    fp32, int8 = figure.data
    assert (fp32.y, int8.y) == (("a fp32",), ("b int8",))
    assert int8.error_x.array == pytest.approx([0.5])
    assert fp32.error_x.arrayminus == pytest.approx([0.6])
    assert fp32.marker.symbol != int8.marker.symbol
    assert list(figure.layout.yaxis.categoryarray) == ["b int8", "a fp32"]  # the best on top
    assert "(pp)" in figure.layout.xaxis.title.text
    assert max(map(len, figure.layout.xaxis.title.text.split("<br>"))) <= 26  # narrow plots


def test_significant_differences_are_counted() -> None:
    assert baseline_summary(FOUND, "c") == (
        "2 builds vs c: 1 less accurate, 1 without a significant difference "
        "(significance: p < 0.05)."
    )


def test_keys_lose_their_source_where_that_leaves_them_unique() -> None:
    assert list(brief_keys(pd.Series(["timm/a fp32", "timm/a int8"])).values()) == [
        "a fp32",
        "a int8",
    ]


def test_the_default_baseline_is_the_most_accurate_build(url: str) -> None:
    rows.add_measured_model(url)
    rows.add_measured_model(url, "other", right={"fp32": 900})
    app = opened(view="Model vs baseline")
    assert app.selectbox(key="reference").value == "timm/other fp32"
    assert not missing(plain_texts(app), "3 builds", "timm/other fp32")


def test_a_colon_in_a_label_does_not_end_the_head() -> None:
    best = {
        "label": "timm/a (imported: card)",
        "precision": "fp32",
        "top1": 81.3,
        "top1_low": 80.9,
        "top1_high": 81.6,
        "images": 50_000,
        "dataset": "val",
    }
    text = most_accurate_text(best, None, None)
    assert text.head == "Most accurate: timm/a (imported: card) fp32."
    assert text.evidence.startswith(
        "81.30 % top-1 (95 % interval 80.90 to 81.60, 50,000 images of val)"
    )

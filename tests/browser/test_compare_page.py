"""Compare in a browser: results that are not comparable say why; the order of the tab key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from db.models import Evaluation
from db.session import writing
from tests.support import rows
from tests.support.homes import copy_of, own_home
from tests.support.keyboard import tabbed_through
from tests.support.screenshots import WIDTHS, settle
from tests.support.server import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def address(template_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A workbench that nobody changes, with the rows of `fill`."""
    with own_home(tmp_path_factory.mktemp("compare") / "home") as home:
        fill(copy_of(template_home, home))
        with serving(home) as found:
            yield found


def fill(url: str) -> None:
    """A model at two precisions, each also prepared otherwise, and a part of the images."""
    rows.add_measured_model(url, right={"fp32": 800, "int8": 700})
    with writing(url) as session:
        for row in session.query(Evaluation).all():
            old = {c.name: getattr(row, c.name) for c in Evaluation.__table__.columns}
            row.protocol = {**old["protocol"], "preprocessing": "published"}
            custom = {**old["preprocess"], "mean": [0.4] * 3, "std": [0.3] * 3}
            other = {"id": None, "recipe": f"{row.id}", "top1_count": row.top1_count - 300}
            session.add(Evaluation(**{**old, **other, "preprocess": custom}))
            part = {"id": None, "recipe": f"part {row.id}", "images": 600, "top1_count": 480}
            session.add(Evaluation(**{**old, **part}))


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_results_that_are_not_comparable_are_marked_and_say_why(
    browser: Browser, address: str, width: str
) -> None:
    size = WIDTHS[width]
    page = browser.new_page(viewport={"width": size[0], "height": 1600})
    page.goto(address)
    settle(page)
    expect(page.get_by_role("combobox", name="Accuracy on")).to_have_value("val · 1,000 images")
    chart = page.get_by_test_id("stPlotlyChart").first
    marks = chart.locator(".textpoint").filter(has_text="≠")
    expect(marks).to_have_count(2)
    lines = chart.locator(".scatterlayer path.js-line")
    lowest = max(one["y"] + one["height"] for one in boxes(page, lines))
    assert lowest < min(box["y"] for box in boxes(page, marks)), "no line leads to them"
    for box in boxes(page, marks):
        page.mouse.move(box["x"] - 6, box["y"] + box["height"] / 2)
        card = chart.locator(".hoverlayer .hovertext")
        expect(card).to_contain_text("mean 0.4 0.4 0.4")
        expect(card).to_contain_text("not compared")
        (shown,), (whole,) = boxes(page, card), boxes(page, chart)
        assert shown["x"] >= whole["x"] - 1
        assert shown["x"] + shown["width"] <= whole["x"] + whole["width"] + 1
    page.close()


def boxes(page: Page, found: object) -> list[dict[str, float]]:
    """Where some elements stand."""
    return [
        {"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]}
        for one in found.all()  # type: ignore[attr-defined]
        if (box := one.bounding_box()) is not None
    ]


def test_another_part_of_the_images_is_a_choice_of_its_own(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/?images=val+%C2%B7+600+of+1%2C000+images")
    settle(page)
    expect(page.get_by_text("600 images of val").first).to_be_visible()
    expect(page.get_by_text("≠")).to_have_count(0)
    page.close()


def test_the_keyboard_goes_through_compare_in_reading_order(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    settle(page)
    reached = tabbed_through(page, 100)
    names = ["Compare", "System", "Copy link", "Accuracy on", "Speed at", "Models", "Accuracy vs"]
    names += ["precision", "Published figures", "Download package", "Percentile"]
    names += ["Max latency (ms)", "Max accuracy drop", "Min top-1", "Max size", "Max memory"]
    names += ["accuracy"]
    names += ["Builds (at most 4;", "Precision comparison", "int8 vs fp32", "PNG"]
    places: list[int] = []
    for name in names:
        after = places[-1] + 1 if places else 0
        found = [n for n, text in enumerate(reached) if n >= after and name in text]
        assert found, (name, reached[after:])
        places.append(found[0])
    page.close()


@pytest.mark.parametrize("width", ["wide", "tablet"])
def test_no_choice_is_cut_where_there_is_room(browser: Browser, address: str, width: str) -> None:
    size = WIDTHS[width]
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(address)
    settle(page)
    for name, least in (("Accuracy on", 240), ("Speed at", 390)):
        (box,) = boxes(page, page.get_by_test_id("stSelectbox").filter(has_text=name))
        assert box["width"] >= least, name
    page.close()

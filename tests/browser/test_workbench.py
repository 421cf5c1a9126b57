"""The whole workbench as a user meets it: the real command, a real browser, the real demo."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, WebSocket, expect
from sqlalchemy import select

from db.enums import LIVE
from db.session import reading
from db.tables import Job
from engine.demo.images import CLASS_NAMES, draw_image
from engine.jobs import control
from tests.browser.screenshots import PAGES, settle
from tests.browser.server import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
DEMO_PATIENCE_S = 400  # on two quiet cores the demo takes about 90 s
DROP = """
({ target, files }) => {
  const transfer = new DataTransfer();
  for (const { name, bytes, type } of files)
    transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
  const about = { dataTransfer: transfer, bubbles: true, cancelable: true };
  for (const kind of ['dragenter', 'dragover', 'drop'])
    target.dispatchEvent(new DragEvent(kind, about));
}
"""


@pytest.fixture(scope="module")
def asked_hosts() -> set[str]:
    """Every host that any page asked for."""
    return set()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A workbench of its own, empty at first."""
    home = tmp_path_factory.mktemp("browser") / "home"
    with serving(home) as found:
        yield found
    url = f"sqlite:///{home / 'senet.db'}"
    with reading(url) as session:
        live = list(session.scalars(select(Job.id).where(Job.status.in_(LIVE))))
    for job_id in live:
        control.cancel(url, job_id)


@pytest.fixture
def page(browser: Browser, address: str, asked_hosts: set[str]) -> Iterator[Page]:
    """A window; whatever it asks for is noted."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    note_hosts(opened, asked_hosts)
    yield opened
    context.close()


def note_hosts(page: Page, hosts: set[str]) -> None:
    def note(asked: Request | WebSocket) -> None:
        host = urlsplit(asked.url).hostname
        if host is not None:  # data: and blob: have none
            hosts.add(host)

    page.on("request", note)
    page.on("websocket", note)


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    settle(page)
    assert_no_errors(page)


def assert_no_errors(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)


def test_the_demo_from_the_first_page_to_the_chart(page: Page, address: str) -> None:
    open_page(page, address)
    expect(page.locator(".scatterlayer .point")).to_have_count(25)
    page.get_by_role("button", name="Run the built-in demo").click()
    page.wait_for_url("**/jobs")
    expect(page.get_by_text(re.compile(r"[1-9] jobs? running"))).to_be_visible(timeout=60_000)
    until = time.monotonic() + DEMO_PATIENCE_S
    while not re.search(r"0 jobs running, 0 queued", page.locator("body").inner_text()):
        assert time.monotonic() < until, page.locator("body").inner_text()
        page.wait_for_timeout(1000)
    assert_no_errors(page)
    expect(page.get_by_text("Needs attention")).to_have_count(0)

    page.get_by_role("link", name="Compare").click()
    settle(page)
    assert_no_errors(page)
    for precision in ("fp32", "fp16", "int8"):
        legend = page.locator(".legendtext").get_by_text(precision, exact=True)
        expect(legend.first).to_be_visible()
    assert page.locator(".scatterlayer .point").count() >= 6


def test_dropped_images_are_classified(page: Page, address: str) -> None:
    from PIL import Image

    open_page(page, f"{address}/classify")
    stream = io.BytesIO()
    Image.fromarray(draw_image(3, 0)).save(stream, "PNG")
    target = page.get_by_test_id("stFileUploaderDropzone").element_handle()
    files = [
        {"name": name, "bytes": list(data), "type": "image/png"}
        for name, data in (
            ("drawn.png", stream.getvalue()),
            ("broken.png", b"\x89PNG\r\n\x1a\nrubbish"),
        )
    ]
    page.evaluate(DROP, {"target": target, "files": files})
    expect(page.get_by_text("drawn.png", exact=True).last).to_be_visible(timeout=30_000)
    expect(page.get_by_text("What the network sees")).to_be_visible(timeout=30_000)
    expect(page.get_by_text(re.compile(r"broken\.png is"))).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("stDataFrame")).to_have_count(2)
    said = page.locator("body").inner_text()
    assert "fp32 · " in said
    assert "int8 · " in said
    assert any(name in said for name in CLASS_NAMES)
    assert_no_errors(page)


def test_exports_parse(page: Page, address: str) -> None:
    open_page(page, f"{address}/results")
    found = {}
    for name in ("CSV", "JSON", "Markdown"):
        with page.expect_download() as download:
            page.get_by_test_id("stDownloadButton").filter(has_text=name).click()
        found[name] = Path(download.value.path()).read_text()
    rows = list(csv.DictReader(io.StringIO(found["CSV"])))
    records = json.loads(found["JSON"])
    lines = found["Markdown"].strip().splitlines()
    assert len(rows) == len(records) == len(lines) - 2 == 3
    assert {row["precision"] for row in rows} == {"fp32", "fp16", "int8"}
    assert sorted(float(row["top-1 (%)"]) for row in rows) == pytest.approx(
        sorted(record["top1"] for record in records)
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_in_both_themes_and_widths(
    browser: Browser, address: str, asked_hosts: set[str], theme: str, width: int, tmp_path: Path
) -> None:
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 844})
    window = context.new_page()
    note_hosts(window, asked_hosts)
    for name, path in PAGES.items():
        open_page(window, address + path)
        overflow = window.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, f"{name} is {overflow} pixels too wide at {width}"
        shot = window.screenshot(path=str(tmp_path / f"{name}.png"))
        assert len(shot) > 5_000
    dark = window.evaluate(
        "() => getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    )
    assert dark == {"light": "rgb(255, 255, 255)", "dark": "rgb(23, 22, 20)"}[theme]
    context.close()


def test_nothing_but_this_machine_was_asked(asked_hosts: set[str]) -> None:
    assert asked_hosts == {"127.0.0.1"}

"""The whole workbench as a user meets it: the real command, a real browser, the real demo."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import openpyxl
import pytest
from playwright.sync_api import Browser, Page, Request, WebSocket, expect
from sqlalchemy import select

from db.enums import LIVE, Precision
from db.models import Job
from db.session import reading
from engine.demo.images import CLASS_NAMES, draw_image
from engine.jobs import control
from engine.vacc.build_file import parse_build_file
from engine.vacc.yaml_text import parse_yaml
from tests.support.keyboard import tabbed_through
from tests.support.screenshots import PAGES, settle
from tests.support.server import serving

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
    expect(page.get_by_role("heading", name="Failed")).to_have_count(0)

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
    expect(page.get_by_text("Model input")).to_be_visible(timeout=30_000)
    expect(page.get_by_text(re.compile(r"broken\.png is"))).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("stDataFrame")).to_have_count(2)
    said = page.locator("body").inner_text()
    assert "fp32 · " in said
    assert "int8 · " in said
    assert any(name in said for name in CLASS_NAMES)
    assert_no_errors(page)


def test_hostile_files_are_refused_by_name_and_the_others_are_classified(
    page: Page, address: str
) -> None:
    from PIL import Image

    small, bomb = io.BytesIO(), io.BytesIO()
    Image.fromarray(draw_image(3, 0)).save(small, "PNG")
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < 100_000
    open_page(page, f"{address}/classify")
    files = [("bomb.png", bomb), ("fine.png", small), *((f"{n}.png", small) for n in range(98))]
    page.locator("input[type=file]").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": data.getvalue()} for name, data in files]
    )
    expect(page.get_by_text(re.compile("bomb.png.*pixels")).first).to_be_visible(timeout=60_000)
    expect(page.get_by_text(re.compile("31 images"))).to_be_visible(timeout=120_000)
    expect(page.get_by_text(re.compile("and 65 more: max 32 images"))).to_be_visible()
    assert_no_errors(page)


def test_points_selected_in_a_chart_stand_side_by_side(page: Page, address: str) -> None:
    open_page(page, address)
    answer = re.compile("(Meets constraints|Likely.*|Inconclusive): demo/senet")
    expect(page.get_by_text(answer).first).to_be_visible()
    chart = page.locator(".st-key-chart")
    chart.scroll_into_view_if_needed()
    chosen = clearest_two({name: mark_of(page, name) for name in ("fp32", "fp16", "int8")})
    for precision in chosen:
        page.mouse.click(*mark_of(page, precision))
        page.wait_for_timeout(1500)
        settle(page)
    expect(page.get_by_text("B vs A")).to_be_visible(timeout=20_000)
    picked = page.locator(".st-key-picked")
    expect(picked.get_by_text(f"demo/senet {chosen[0]}")).to_be_visible()
    expect(picked.get_by_text("demo/senet ")).to_have_count(2)
    assert "picked=" in page.url
    assert_no_errors(page)


def clearest_two(marks: dict[str, tuple[float, float]]) -> list[str]:
    """The two points furthest from any other: speeds differ by the machine, and marks may meet."""

    def room(name: str) -> float:
        return min(math.dist(marks[name], place) for other, place in marks.items() if other != name)

    return sorted(marks, key=room, reverse=True)[:2]


def mark_of(page: Page, precision: str) -> tuple[float, float]:
    """Where the point of a precision is on the screen, by its hover card."""
    return page.evaluate(
        """precision => {
            const plot = document.querySelector('.st-key-chart .js-plotly-plot');
            const trace = plot._fullData.find(t => t.name === precision && t.customdata);
            const box = plot.getBoundingClientRect();
            const layout = plot._fullLayout;
            const [xa, ya] = [layout.xaxis, layout.yaxis];
            return [box.left + xa._offset + xa.d2p(trace.x[0]),
                    box.top + ya._offset + ya.d2p(trace.y[0])];
        }""",
        precision,
    )


def test_limits_are_in_the_address_and_come_back(page: Page, address: str) -> None:
    open_page(page, address)
    field = page.get_by_role("spinbutton", name="Max size (MB)")
    field.fill("0.0001")
    field.press("Enter")
    expect(page.get_by_text("meets all constraints")).to_be_visible(timeout=20_000)
    assert "most_size=" in page.url
    open_page(page, page.url)
    expect(page.get_by_text("meets all constraints")).to_be_visible()


def test_every_view_of_compare_draws(page: Page, address: str) -> None:
    for view in ("Accuracy loss", "Latency", "Batch scaling", "Parallel coordinates"):
        open_page(page, f"{address}/?view={view.replace(' ', '%20')}&lost_pair=fp16%20vs%20fp32")
        expect(page.get_by_role("heading", name="Details")).to_be_visible()
    open_page(page, f"{address}/?view=Where%20accuracy%20was%20lost")
    expect(page.get_by_test_id("stImage").first).to_be_visible(timeout=20_000)


def test_a_queued_run_is_cancelled(page: Page, address: str) -> None:
    open_page(page, f"{address}/run?id=1")
    page.get_by_role("button", name="Clone with changes").click()
    page.wait_for_url("**/new-run*")
    expect(page.get_by_text("Prefilled from an earlier run")).to_be_visible(timeout=20_000)
    settle(page)
    page.get_by_label("Precisions").get_by_text("fp16").click()
    settle(page)
    other = page.context.new_page()
    open_page(other, f"{address}/jobs")
    page.get_by_role("button", name="Queue run").click()
    page.wait_for_url("**/jobs")
    expect(other.get_by_text(re.compile("Run 2 ·")).first).to_be_visible(timeout=10_000)
    other.close()
    until = time.monotonic() + 120
    while "0 jobs running, 0 queued" not in page.locator("body").inner_text():
        assert time.monotonic() < until
        button = page.get_by_role("button", name="Cancel", exact=True)
        if button.count():
            with contextlib.suppress(Exception):  # the row may have ended meanwhile
                button.last.click(timeout=1500)
        page.wait_for_timeout(500)
    expect(page.get_by_text("Queued as run")).to_have_count(0, timeout=20_000)
    assert_no_errors_but_cancelled(page)


def assert_no_errors_but_cancelled(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_excitations_are_drawn_for_samples(page: Page, address: str) -> None:
    open_page(page, f"{address}/classify?source=Samples&excitations=true")
    expect(page.locator(".st-key-gate_strength .js-plotly-plot")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Compute the mean").click()
    expect(page.get_by_text("difference from the class mean").first).to_be_visible(timeout=90_000)
    expect(page.get_by_role("button", name="Compute the mean")).to_have_count(0)
    assert_no_errors(page)


def test_a_photograph_of_the_camera_is_classified(
    browser: Browser, address: str, asked_hosts: set[str]
) -> None:
    context = browser.new_context(permissions=["camera"])
    window = context.new_page()
    note_hosts(window, asked_hosts)
    open_page(window, f"{address}/classify?source=Camera")
    window.get_by_role("button", name="Take Photo").click(timeout=30_000)
    expect(window.get_by_text("Model input")).to_be_visible(timeout=30_000)
    expect(window.get_by_test_id("stDataFrame")).to_have_count(2)
    assert_no_errors(window)
    context.close()


def test_the_keyboard_reaches_what_the_page_offers(page: Page, address: str) -> None:
    open_page(page, address)
    reached = tabbed_through(page, 90)
    for name in ("Jobs", "Results", "Models", "Max size", "Precision comparison"):
        assert any(name in text for text in reached), (name, reached)


def test_the_keyboard_goes_through_a_form_in_reading_order(page: Page, address: str) -> None:
    open_page(page, f"{address}/new-run")
    reached = tabbed_through(page, 50)
    names = ("Jobs", "vamc build file", "Catalog", "Pretrained", "fp32", "Options", "Queue run")
    places = [next((n for n, text in enumerate(reached) if name in text), None) for name in names]
    assert None not in places, (names, reached)
    assert places == sorted(places), (names, reached)


def test_exports_hold_what_is_shown(page: Page, browser: Browser, address: str) -> None:
    open_page(page, f"{address}/results")
    found = {}
    for name in ("CSV", "Excel", "JSON", "Markdown", "LaTeX", "HTML"):
        found[name] = download_of(page, name)
    rows = list(csv.DictReader(io.StringIO(found["CSV"].read_text())))
    document = json.loads(found["JSON"].read_text())
    lines = found["Markdown"].read_text().strip().splitlines()
    assert len(rows) == len(document["results"]) == len(lines) - 2 >= 3
    assert {row["precision"] for row in rows} == {"fp32", "fp16", "int8"}
    assert "parameters (M)" not in rows[0]  # not among the columns shown
    assert found["LaTeX"].read_text().startswith(r"\begin{tabular}")
    sheet = openpyxl.load_workbook(io.BytesIO(found["Excel"].read_bytes())).active
    header, *cells = sheet.iter_rows(values_only=True)
    assert header == tuple(rows[0])
    assert len(cells) == len(rows)
    read_report(browser, found["HTML"])


def download_of(page: Page, name: str) -> Path:
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").filter(has_text=name).click()
    return Path(download.value.path())


def test_the_build_file_of_a_build_reads_back(page: Page, address: str) -> None:
    open_page(page, f"{address}/results?precision=int8")
    first_box = {"x": 16, "y": 33 + 16}  # the table is a canvas
    page.locator(".dvn-scroller").first.click(position=first_box)
    expect(page.get_by_text("Provenance of demo/senet int8")).to_be_visible(timeout=20_000)
    text = download_of(page, "vamc build file").read_text()
    asked = parse_build_file(parse_yaml(text, "b.yaml"), "b.yaml")
    assert asked.precision == Precision.INT8
    assert asked.preprocess is not None
    assert asked.preprocess.crop == 64
    assert_no_errors(page)


def read_report(browser: Browser, path: Path) -> None:
    """The report draws its charts from its own file alone."""
    context = browser.new_context(offline=True)
    window = context.new_page()
    asked: set[str] = set()
    note_hosts(window, asked)
    copy = path.rename(path.with_suffix(".html"))
    window.goto(copy.as_uri())
    expect(window.locator("figure svg").first).to_be_visible(timeout=30_000)
    assert window.locator("figure svg g > title").count() >= 6
    assert asked <= {""}, asked
    context.close()


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

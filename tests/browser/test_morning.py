"""An engineer's morning: own network, own images, int8 under a constraint, package; no terminal.

Every press of the mouse is counted. A folder in MORNING_PICTURES gets a picture of each step.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from engine.preprocess import PreprocessSpec, preprocess
from engine.runtimes.onnxruntime import OnnxSession
from tests.support.screenshots import settle, whole_page
from tests.support.server import serving
from tests.support.tiny import tiny_se_model

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
MOST_CLICKS = 12
IMAGES, SIDE = 400, 224
PATIENCE_S = 200


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A workbench that was never used."""
    monkeypatch.setenv("SENET_PEAK", "0")
    with serving(tmp_path / "home") as found:
        yield found


class Hand:
    """Presses the mouse, counts it, and keeps pictures where they are wanted."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks, self.taken = page, 0, 0

    def click(self, target: Locator) -> None:
        target.first.click()
        self.clicks += 1
        settle(self.page)
        self.look()

    def fill(self, field: Locator, text: str) -> None:
        """A press into the field, then the keyboard."""
        field.first.click()
        self.clicks += 1
        field.first.fill(text)
        field.first.press("Enter")
        settle(self.page)

    def drop(self, place: Locator, file: Path) -> None:
        """A file that is dragged there: no press."""
        place.first.set_input_files(str(file))
        expect(self.page.get_by_text(file.name).first).to_be_visible(timeout=30_000)
        settle(self.page)
        self.look()

    def look(self) -> None:
        folder = os.environ.get("MORNING_PICTURES")
        if folder:
            self.taken += 1
            whole_page(self.page, 1280, 900)
            self.page.screenshot(path=f"{folder}/{self.taken:02d}.png")


def network(folder: Path) -> Path:
    """A small SE network of four classes as the engineer's own file, with the usual input."""
    model = tiny_se_model(seed=6)  # which gives each class to some images
    for place in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_value = SIDE
    path = folder / "our_network.onnx"
    onnx.save(model, path)
    return path


def images(folder: Path, model: Path) -> Path:
    """A zip file with a folder per class, each image in the class that the network gives it."""
    random = np.random.default_rng(5)
    session, spec = OnnxSession(model, "CPUExecutionProvider", 1), PreprocessSpec()
    root = folder / "shelf"
    for number in range(IMAGES):
        base = random.integers(0, 255, 3)
        pixels = np.clip(base + random.integers(-40, 40, (8, 8, 3)), 0, 255).astype(np.uint8)
        image = Image.fromarray(pixels)
        label = int(session.run(preprocess(image, spec)[None]).argmax())
        (root / f"part {label}").mkdir(parents=True, exist_ok=True)
        image.save(root / f"part {label}" / f"{number:04d}.png")
    return Path(shutil.make_archive(str(root), "zip", folder, "shelf"))


def test_from_the_first_start_to_the_package_in_twelve_clicks(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    model = network(tmp_path)
    archive = images(tmp_path, model)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(30_000)
    hand = Hand(page)
    page.goto(address)
    settle(page)
    hand.look()

    hand.click(page.get_by_role("link", name="Add a dataset"))
    hand.drop(page.locator("input[type=file]"), archive)
    hand.click(page.get_by_role("button", name="Add", exact=True))

    hand.click(page.get_by_role("link", name="New run"))
    hand.click(page.get_by_role("radio", name="ONNX file").or_(
        page.get_by_role("button", name="ONNX file")))  # fmt: skip
    hand.drop(page.locator(".st-key-onnx_upload input[type=file]"), model)
    hand.click(page.get_by_text("Options", exact=True))
    hand.fill(page.get_by_role("spinbutton", name="Accuracy constraint (pp)"), "1")
    hand.fill(page.get_by_role("spinbutton", name="Max duration (s)"), "3")  # of a busy machine
    hand.look()
    hand.click(page.get_by_role("button", name="Queue run"))
    page.wait_for_url("**/jobs*", timeout=30_000)
    until = time.monotonic() + PATIENCE_S
    while "0 jobs running, 0 queued" not in page.locator("body").inner_text():
        assert time.monotonic() < until, page.locator("body").inner_text()
        page.wait_for_timeout(500)
    hand.look()
    expect(page.get_by_role("heading", name="Failed")).to_have_count(0)

    hand.click(page.get_by_role("link", name="Compare"))
    answer = re.compile("(Meets constraints|Likely.*|Inconclusive): onnx/our_network")
    expect(page.get_by_text(answer).first).to_be_visible()
    expect(page.locator(".legendtext").get_by_text("int8", exact=True).first).to_be_visible()
    hand.click(page.locator(".st-key-package_recommended button"))
    with page.expect_download() as download:
        hand.click(page.get_by_role("button", name="Zip", exact=True))
    packed = zipfile.ZipFile(download.value.path())
    assert any(name.endswith(".onnx") for name in packed.namelist())
    assert any(name.endswith("classify.py") for name in packed.namelist())
    assert hand.clicks <= MOST_CLICKS
    context.close()

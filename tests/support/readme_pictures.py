"""The pictures of the README, taken of the built-in demo so that they stay true.

`python -m tests.support.readme_pictures` runs the demo in a folder of its own and writes
docs/images; `--home FOLDER` takes the pictures of a folder in which the demo ran.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.support.screenshots import settle, whole_page
from tests.support.server import CHROMIUM_ARGS, REPOSITORY, find_chromium, serving

WIDTH, HEIGHT = 1280, 1150
OUT = REPOSITORY / "docs" / "images"
# Picture -> address and height in pixels of what the window shows.
PAGES = {
    "compare": ("/?images=demo+%C2%B7+2%2C400+images", HEIGHT),
    "new-run": ("/new-run", 760),
    "jobs": ("/jobs", 800),
    "results": ("/results", 700),
}
CLASSIFY = "/classify?source=Samples&excitations=true&builds=demo%2Fsenet+fp32&builds="
CLASSIFY += "demo%2Fsenet+int8"
MEAN_PATIENCE_MS = 120_000


def run_demo(home: Path) -> None:
    """The demo in the terminal, on data of its own."""
    environment = {**os.environ, "SENET_HOME": str(home), "SENET_IDLE_S": "5"}
    environment.pop("DATABASE_URL", None)
    subprocess.run(
        [sys.executable, "-m", "engine", "demo"], cwd=REPOSITORY, env=environment, check=True
    )


def take_page(page: Page, address: str, name: str) -> None:
    """What the window shows of a page."""
    path, height = PAGES[name]
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.goto(address + path)
    settle(page)
    if name == "new-run":  # weights of other models are named with their place on this machine
        page.get_by_role("radio", name="Built-in demo").click()
        settle(page)
    page.screenshot(path=str(OUT / f"{name}.png"))


def take_classify(page: Page, address: str) -> None:
    """One image by two builds, and what the SE blocks do to it against the mean."""
    page.goto(address + CLASSIFY)
    settle(page)
    asked = page.get_by_role("button", name="Compute the mean")
    if asked.count():
        asked.click()
    expect(page.get_by_text("difference from the dataset mean").first).to_be_visible(
        timeout=MEAN_PATIENCE_MS
    )
    settle(page)
    whole_page(page, WIDTH, HEIGHT)
    section = page.get_by_role("heading", name="SE gates")
    box = section.bounding_box()
    assert box is not None
    tall = page.evaluate("() => window.innerHeight")
    top = box["y"] - 12
    page.screenshot(
        path=str(OUT / "excitations.png"),
        clip={"x": 0, "y": top, "width": WIDTH, "height": tall - top - 60},
    )


def main() -> None:
    """Takes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path)
    home = parser.parse_args().home
    if home is None:
        home = Path(tempfile.mkdtemp(prefix="senet-readme-"))
        run_demo(home)
    with sync_playwright() as playwright, serving(home) as address:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_ARGS)
        )
        context = browser.new_context(
            color_scheme="light", viewport={"width": WIDTH, "height": HEIGHT}
        )
        page = context.new_page()
        for name in PAGES:
            take_page(page, address, name)
        take_classify(page, address)
        browser.close()


if __name__ == "__main__":
    main()

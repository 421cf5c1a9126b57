"""Pictures of every page, light and dark, wide and narrow.

`python -m tests.browser.screenshots OUT` takes them of the workbench's data as they are;
`--home FOLDER` of another data folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from engine.config import settings
from tests.browser.server import CHROMIUM_ARGS, find_chromium, serving

PAGES = {
    "compare": "/",
    "new-run": "/new-run",
    "jobs": "/jobs",
    "classify": "/classify?source=Samples&excitations=true",
    "results": "/results",
    "datasets": "/datasets",
    "system": "/system",
    "run": "/run?id=1",
}
WIDTHS = {"wide": (1280, 900), "narrow": (390, 844)}
SETTLE_MS = 1200


def settle(page: Page) -> None:
    """Waits until the script has run and what it drew stands still."""
    page.wait_for_selector('[data-testid="stApp"]', timeout=30_000)
    page.wait_for_selector("h1", timeout=30_000)
    page.wait_for_function(
        "() => document.querySelector('[data-testid=\"stApp\"]')"
        "?.getAttribute('data-test-script-state') === 'notRunning'",
        timeout=30_000,
    )
    page.wait_for_timeout(SETTLE_MS)


def whole_page(page: Page, width: int, least: int) -> None:
    """Makes the window as tall as what it shows: the page scrolls inside the app."""
    tall = page.evaluate(
        "() => { const m = document.querySelector('[data-testid=\"stMain\"]');"
        " return m ? m.scrollHeight : 0 }"
    )
    page.set_viewport_size({"width": width, "height": max(least, int(tall) + 70)})
    page.wait_for_timeout(500)


def take(browser: Browser, address: str, out: Path, names: list[str], full: bool) -> None:
    """One picture for each page, theme and width."""
    for theme in ("light", "dark"):
        for width_name, (width, height) in WIDTHS.items():
            context = browser.new_context(
                color_scheme=theme, viewport={"width": width, "height": height}
            )
            page = context.new_page()
            for name in names:
                page.set_viewport_size({"width": width, "height": height})
                page.goto(address + PAGES[name])
                settle(page)
                if full:
                    whole_page(page, width, height)
                page.screenshot(path=str(out / f"{name}-{theme}-{width_name}.png"))
            context.close()


def main() -> None:
    """Starts the server, takes the pictures, says where they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--home", type=Path, default=settings().home)
    parser.add_argument("--pages", nargs="*", default=list(PAGES), choices=list(PAGES))
    parser.add_argument("--window", action="store_true", help="only what the window shows")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, serving(chosen.home) as address:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_ARGS)
        )
        take(browser, address, chosen.out, chosen.pages, full=not chosen.window)
        browser.close()


if __name__ == "__main__":
    main()

"""Pictures of every page and view, light and dark, at three widths.

`python -m tests.support.screenshots OUT` takes them of the workbench's data as they are;
`--home FOLDER` of another data folder; `--pages`, `--themes` and `--widths` take fewer. It names
what is wider than the window, and what drew an error.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from types import MappingProxyType

from playwright.sync_api import Browser, Page, sync_playwright

from engine.config import settings
from tests.support.server import CHROMIUM_ARGS, find_chromium, serving

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
VIEWS = {
    "compare-lost": "/?view=Accuracy%20loss",
    "compare-latency": "/?view=Latency",
    "compare-batches": "/?view=Batch%20scaling",
    "compare-dimensions": "/?view=Parallel%20coordinates",
    "results-filtered-out": "/results?model=no+such+model",
    "run-missing": "/run?id=999999",
    "runs": "/run",
}
THEMES = ("light", "dark")
WIDTHS = {"wide": (1280, 900), "tablet": (768, 1024), "narrow": (390, 844)}
STILL_MS = 400
STANDS_STILL = """
([still, most]) => new Promise((resolve, reject) => {
  const unfinished = () =>
    document.querySelector('[data-testid="stApp"]')
      ?.getAttribute('data-test-script-state') !== 'notRunning' ||
    document.querySelector('[data-testid="stSkeleton"]') ||
    [...document.querySelectorAll('[data-testid="stPlotlyChart"]')]
      .some(chart => !chart.querySelector('.main-svg')) ||
    document.fonts.status !== 'loaded';
  const until = performance.now() + most;
  let changed = performance.now();
  const watch = new MutationObserver(() => { changed = performance.now(); });
  watch.observe(
    document, { subtree: true, childList: true, attributes: true, characterData: true });
  const look = () => {
    const now = performance.now();
    if (unfinished()) changed = now;
    if (now - changed >= still) { watch.disconnect(); resolve(); }
    else if (now > until) { watch.disconnect(); reject(Error('The page does not stand still.')); }
    else setTimeout(look, 50);
  };
  look();
})
"""


def settle(page: Page) -> None:
    """Waits until the script has run and what it drew has not changed for STILL_MS."""
    page.wait_for_selector('[data-testid="stApp"]', timeout=30_000)
    page.wait_for_selector("h1", timeout=30_000)
    page.evaluate(STANDS_STILL, [STILL_MS, 30_000])


def whole_page(page: Page, width: int, least: int) -> None:
    """Makes the window as tall as what it shows: the page scrolls inside the app."""
    tall = page.evaluate(
        "() => { const m = document.querySelector('[data-testid=\"stMain\"]');"
        " return m ? m.scrollHeight : 0 }"
    )
    page.set_viewport_size({"width": width, "height": max(least, int(tall) + 70)})
    page.wait_for_timeout(500)


def take(
    browser: Browser,
    address: str,
    out: Path,
    chosen: argparse.Namespace,
    paths: Mapping[str, str] = MappingProxyType({**PAGES, **VIEWS}),
) -> list[str]:
    """One picture for each page, theme and width; returns what is wrong at first sight."""
    wrong = []
    for theme, width_name in product(chosen.themes, chosen.widths):
        width, height = WIDTHS[width_name]
        context = browser.new_context(
            color_scheme=theme, viewport={"width": width, "height": height}
        )
        page = context.new_page()
        for name in chosen.pages:
            page.set_viewport_size({"width": width, "height": height})
            page.goto(address + paths[name])
            settle(page)
            wrong += [f"{name}, {theme}, {width_name}: {what}" for what in flaws(page)]
            if not chosen.window:
                whole_page(page, width, height)
            page.screenshot(path=str(out / f"{name}-{theme}-{width_name}.png"))
        context.close()
    return wrong


def flaws(page: Page) -> list[str]:
    """What no page may ever have: something wider than the window, or an unexpected failure."""
    over = page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    found = [f"{over} pixels too wide"] if over > 0 else []
    if page.get_by_test_id("stException").count() or page.get_by_text("failed unexpected").count():
        found.append("a part of it failed")
    return found


def main() -> None:
    """Starts the server, takes the pictures, says where they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--home", type=Path, default=settings().home)
    names = [*PAGES, *VIEWS]
    parser.add_argument("--pages", nargs="*", default=names, choices=names)
    parser.add_argument("--themes", nargs="*", default=list(THEMES), choices=list(THEMES))
    parser.add_argument("--widths", nargs="*", default=list(WIDTHS), choices=list(WIDTHS))
    parser.add_argument("--window", action="store_true", help="only what the window shows")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, serving(chosen.home) as address:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_ARGS)
        )
        wrong = take(browser, address, chosen.out, chosen)
        browser.close()
    print("\n".join(wrong) or f"Taken: {chosen.out}. Nothing is too wide, nothing failed.")


if __name__ == "__main__":
    main()

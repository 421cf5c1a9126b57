"""Speed of the pages with 10,000 measurements: script run, time to paint, bytes sent.

`python -m benchmarks.dashboard [--home FOLDER]` fills its own database (reused if FOLDER
has one), runs every page cold and warm without a browser, then in Chromium against the real
command. The exit code is 1 when a page is over a limit.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

LIMIT_SCRIPT_S, LIMIT_PAINT_S, LIMIT_MB = 0.7, 3.0, 3.0
PAGES = ("compare", "new_run", "jobs", "classify", "results", "datasets", "system", "run")
READY = (
    "() => document.querySelector('h1') && "
    "document.querySelector('[data-testid=\"stApp\"]')"
    "?.getAttribute('data-test-script-state') === 'notRunning'"
)


@dataclass
class PageSpeed:
    """One page: seconds of a cold and a warm script run, seconds to paint, MB sent."""

    cold_s: float = 0.0
    warm_s: float = 0.0
    paint_s: float = 0.0
    sent_mb: float = 0.0

    @property
    def over(self) -> list[str]:
        """The names of exceeded limits."""
        figures = (
            (max(self.cold_s, self.warm_s), LIMIT_SCRIPT_S, "script"),
            (self.paint_s, LIMIT_PAINT_S, "paint"),
            (self.sent_mb, LIMIT_MB, "bytes"),
        )
        return [name for value, limit, name in figures if value > limit]


def use_home(home: Path) -> None:
    """Sets the home of this process and its children, before settings are read."""
    os.environ.update(SENET_HOME=str(home), SENET_HOST_LOCK=str(home / "host.lock"))


def prepare(home: Path) -> None:
    """Creates and fills the database unless it is filled already."""
    use_home(home)
    from benchmarks.many_results import fill
    from engine.results import result_tables
    from engine.store.database import prepare_database

    url = prepare_database()
    if result_tables(url).builds.empty:
        print(f"{fill(url):,} measurements written to {home}")


def measure_scripts(measurements: dict[str, PageSpeed]) -> None:
    """Measures script runs without a browser; cold: with empty caches, after all imports."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    from engine.config import REPOSITORY
    from engine.jobs import dispatcher

    dispatcher.ensure_dispatcher = lambda: False
    app = AppTest.from_file(str(REPOSITORY / "dashboard" / "app.py"), default_timeout=60).run()
    for page in PAGES:  # load the imports of each page
        app.switch_page(f"app_pages/{page}.py").run()
    for page, measured in measurements.items():
        app.switch_page(f"app_pages/{page}.py")
        st.cache_data.clear()
        st.cache_resource.clear()
        measured.cold_s = _run(app)
        measured.warm_s = min(_run(app) for _ in range(3))
        if app.exception:
            raise SystemExit(f"{page} failed: {app.exception[0].message}")


def _run(app: object) -> float:
    begun = time.perf_counter()
    app.run()  # type: ignore[attr-defined]
    return time.perf_counter() - begun


def measure_pages(measurements: dict[str, PageSpeed], home: Path) -> None:
    """Opens each page in a new Chromium window; counts the data of the page, not of the app."""
    from playwright.sync_api import WebSocket, sync_playwright

    from tests.support.server import CHROMIUM_ARGS, find_chromium, serving

    with sync_playwright() as playwright, serving(home) as address:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_ARGS)
        )
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        for warm_up in (True, False):  # fills the browser cache and loads imports
            for page, measured in measurements.items():
                sent = [0]

                def count(payload: bytes | str, sent: list[int] = sent) -> None:
                    sent[0] += len(payload)

                def listen(socket: WebSocket, count: object = count) -> None:
                    socket.on("framereceived", count)  # type: ignore[arg-type]

                window = context.new_page()
                window.on("websocket", listen)
                begun = time.perf_counter()
                path = "" if page == "compare" else page.replace("_", "-")
                window.goto(f"{address}/{path}", wait_until="commit")
                window.wait_for_function(READY, timeout=60_000)
                measured.paint_s = time.perf_counter() - begun
                window.wait_for_timeout(100 if warm_up else 500)
                measured.sent_mb = sent[0] / 1e6
                window.close()
        browser.close()


def main() -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args()
    home = options.home or Path(tempfile.mkdtemp(prefix="senet-many-"))
    prepare(home)
    measurements = {page: PageSpeed() for page in PAGES}
    measure_scripts(measurements)
    if not options.no_browser:
        measure_pages(measurements, home)
    print(f"{'page':10} {'cold s':>7} {'warm s':>7} {'paint s':>8} {'sent MB':>8}  over the limit")
    for page, speed in measurements.items():
        print(
            f"{page:10} {speed.cold_s:7.2f} {speed.warm_s:7.2f} {speed.paint_s:8.2f} "
            f"{speed.sent_mb:8.2f}  {', '.join(speed.over)}"
        )
    return int(any(speed.over for speed in measurements.values()))


if __name__ == "__main__":
    raise SystemExit(main())

"""Overhead of the Classify page over inference when an image is uploaded, cold and warm.

`python -m benchmarks.classify IMAGE... [--home FOLDER]` uploads one image at a time and prints the
duration of the script run, of its inference, and the difference, in ms. The first image also starts
the child process and loads the models. Last, it prints the resident memory of the process that runs
the pages, before the first image and after the last one, and of the child. The exit code is 1 when
the median overhead, without the first image, is over the limit.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

LIMIT_MS = 150.0
INFER = re.compile(r"infer ([\d.]+) ms")


def main() -> int:
    """Measures, prints a table and the memory; the first image is the warm-up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    if len(options.images) < 2:
        parser.error("Give two or more images: the first one is the warm-up.")
    if options.home:
        from benchmarks.dashboard import use_home

        use_home(options.home)
    page()
    memory_before_mb = memory_mb()
    totals_ms, overheads_ms = [], []
    for path in options.images:
        run_ms, inference_ms = classify(path)
        totals_ms.append(run_ms)
        overheads_ms.append(run_ms - inference_ms)
        print(f"{path.name:40} {run_ms:8.1f} {inference_ms:8.1f} {overheads_ms[-1]:8.1f}")
    print(f"Cold: {totals_ms[0]:.1f} ms; warm, median: {statistics.median(totals_ms[1:]):.1f} ms.")
    children = [memory_mb(child.pid) for child in psutil.Process().children()]
    print(
        f"Memory of the server process: {memory_before_mb:.0f} MB before, {memory_mb():.0f} MB "
        f"after; of its children: {', '.join(f'{mb:.0f} MB' for mb in children) or 'none'}."
    )
    median = statistics.median(overheads_ms[1:])
    print(f"Overhead over inference, warm, median: {median:.1f} ms; limit {LIMIT_MS:.0f} ms.")
    return int(median > LIMIT_MS)


def classify(path: Path) -> tuple[float, float]:
    """Duration in ms of the script run that classifies one new image, and of its inference."""
    app = page()
    app.file_uploader(key="photographs").upload(path.name, path.read_bytes(), "image/jpeg")
    begun = time.perf_counter()
    app.run()
    total_ms = 1e3 * (time.perf_counter() - begun)
    matches = [INFER.search(caption.value) for caption in app.caption]
    return total_ms, sum(float(match.group(1)) for match in matches if match)


def page() -> AppTest:
    """The Classify page, just opened."""
    from streamlit.testing.v1 import AppTest

    from engine.config import REPOSITORY

    app = AppTest.from_file(str(REPOSITORY / "dashboard" / "app.py"), default_timeout=120).run()
    return app.switch_page("app_pages/classify.py").run()


def memory_mb(pid: int | None = None) -> float:
    """Resident memory of a process, this one or another."""
    resident: int = psutil.Process(pid).memory_info().rss
    return resident / 1e6


if __name__ == "__main__":
    raise SystemExit(main())

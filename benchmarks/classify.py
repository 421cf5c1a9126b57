"""What the page adds to inference when an image is dropped on Classify, cold and warm.

`python -m benchmarks.classify IMAGE... [--home FOLDER]` drops each image alone and prints the
milliseconds of the whole script run, those of inference in it, and the rest. The first image also
starts the child process and loads the models. Printed last is the resident memory of the process
that runs the pages, before the first image and after the last, and of the child. It ends with 1
when the median of the rest, without the first image, is over the limit.
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
    """Measures and prints a table and the memory; the first image warms up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--home", type=Path)
    chosen = parser.parse_args()
    if len(chosen.images) < 2:
        parser.error("The first image warms up: give two or more.")
    if chosen.home:
        from benchmarks.dashboard import use_home

        use_home(chosen.home)
    page()
    before = memory_mb()
    whole, rest = [], []
    for path in chosen.images:
        run_ms, inference_ms = drop(path)
        whole.append(run_ms)
        rest.append(run_ms - inference_ms)
        print(f"{path.name:40} {run_ms:8.1f} {inference_ms:8.1f} {rest[-1]:8.1f}")
    print(f"Cold: {whole[0]:.1f} ms; warm, median: {statistics.median(whole[1:]):.1f} ms.")
    children = [memory_mb(child.pid) for child in psutil.Process().children()]
    print(
        f"Memory of the pages' process: {before:.0f} MB before, {memory_mb():.0f} MB after; "
        f"of its children: {', '.join(f'{mb:.0f} MB' for mb in children) or 'there are none'}."
    )
    median = statistics.median(rest[1:])
    print(f"Beyond inference, warm, median: {median:.1f} ms; at most {LIMIT_MS:.0f}.")
    return int(median > LIMIT_MS)


def drop(path: Path) -> tuple[float, float]:
    """Milliseconds of the script run that classifies one new image, and of inference in it."""
    app = page()
    app.file_uploader(key="photographs").upload(path.name, path.read_bytes(), "image/jpeg")
    begun = time.perf_counter()
    app.run()
    whole = 1e3 * (time.perf_counter() - begun)
    told = [INFER.search(caption.value) for caption in app.caption]
    return whole, sum(float(found.group(1)) for found in told if found)


def page() -> AppTest:
    """Classify, as it opens."""
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

"""What the page adds to inference when an image is dropped on Classify, sessions being warm.

`python -m benchmarks.classify IMAGE... [--home FOLDER]` drops each image alone and prints the
milliseconds of the whole script run, those of inference in it, and the rest. It ends with 1 when
the median of the rest is over the limit.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from pathlib import Path

LIMIT_MS = 150.0
INFER = re.compile(r"infer ([\d.]+) ms")


def main() -> int:
    """Measures and prints a table; the first image warms up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--home", type=Path)
    chosen = parser.parse_args()
    if len(chosen.images) < 2:
        parser.error("The first image warms up: give two or more.")
    if chosen.home:
        from benchmarks.dashboard import use_home

        use_home(chosen.home)
    rest = []
    for path in chosen.images:
        whole, inference = drop(path)
        rest.append(whole - inference)
        print(f"{path.name:40} {whole:8.1f} {inference:8.1f} {whole - inference:8.1f}")
    median = statistics.median(rest[1:])
    print(f"Beyond inference, median: {median:.1f} ms; at most {LIMIT_MS:.0f}.")
    return int(median > LIMIT_MS)


def drop(path: Path) -> tuple[float, float]:
    """Milliseconds of the script run that classifies one new image, and of inference in it."""
    from streamlit.testing.v1 import AppTest

    from engine.config import REPOSITORY

    app = AppTest.from_file(str(REPOSITORY / "dashboard" / "app.py"), default_timeout=120).run()
    app.switch_page("app_pages/classify.py").run()
    app.file_uploader(key="photographs").upload(path.name, path.read_bytes(), "image/jpeg")
    begun = time.perf_counter()
    app.run()
    whole = 1e3 * (time.perf_counter() - begun)
    told = [INFER.search(caption.value) for caption in app.caption]
    return whole, sum(float(found.group(1)) for found in told if found)


if __name__ == "__main__":
    raise SystemExit(main())

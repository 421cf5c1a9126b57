"""How fast New run answers: opening it, a row of the catalog, a precision, a field and its summary.

`python -m benchmarks.reaction [--home FOLDER]` fills its own database as benchmarks.dashboard does
(reused if FOLDER has one) and runs the page without a browser: the seconds are those of the script,
the median of several. The exit code is 1 when one is over its limit; run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.dashboard import prepare

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

CLICK_LIMIT_S, FIELD_LIMIT_S = 0.5, 0.3
REPEATS = 7
MODELS = ["timm/seresnet50", "timm/seresnet33ts", "timm/legacy_seresnet18"]


def _toggle(app: AppTest, key: str, value: str) -> None:
    """Presses a choice of several."""
    pills = app.button_group(key=key)
    held = list(pills.value)
    pills.set_value([one for one in held if one != value] if value in held else [*held, value])


def _models(app: AppTest, count: int) -> None:
    from engine.catalog.models import catalog

    names = [name for name in MODELS if name in catalog()] or list(catalog())
    app.multiselect(key="catalog_models").set_value(names[:count])


def measure(act: Callable[[AppTest, int], None], app: AppTest) -> float:
    """The median seconds of the script after an action; the first run is not counted."""
    took = []
    for number in range(REPEATS + 1):
        act(app, number)
        begun = time.perf_counter()
        app.run()
        took.append(time.perf_counter() - begun)
        if app.exception:
            raise SystemExit(f"New run failed: {app.exception[0].message}")
    return statistics.median(took[1:])


def rows(app: AppTest) -> list[tuple[str, float, float]]:
    """(what is done, its limit, seconds)."""
    found = [("open New run", CLICK_LIMIT_S, measure(lambda app, n: None, app))]
    found.append(("a catalog row", CLICK_LIMIT_S, measure(lambda a, n: _models(a, 1 + n % 2), app)))
    for count in (1, 3, 25):
        if count == 25:
            from engine.catalog.models import catalog

            app.multiselect(key="catalog_models").set_value(list(catalog())).run()
        else:
            _models(app, count)
            app.run()
        found.append(
            (
                f"a precision, {count} models",
                CLICK_LIMIT_S,
                measure(lambda a, n: _toggle(a, "precisions", "bf16"), app),
            )
        )
    _models(app, 1)
    app.run()
    field = "max_drop"
    found.append(
        (
            "a field to the summary",
            FIELD_LIMIT_S,
            measure(lambda a, n: a.number_input(key=field).set_value(1.0 + n / 10), app),
        )
    )
    return found


def main() -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    prepare(options.home or Path(tempfile.mkdtemp(prefix="senet-reaction-")))
    from streamlit.testing.v1 import AppTest
    from streamlit.util import calc_hash

    from engine.config import REPOSITORY
    from engine.jobs import dispatcher

    dispatcher.ensure_dispatcher = lambda: False
    app = AppTest.from_file(str(REPOSITORY / "dashboard" / "app.py"), default_timeout=60)
    app._page_hash = calc_hash("new-run")
    app.run()
    found = rows(app)
    print(f"{'action':24} {'s':>6} {'limit':>6}")
    for name, limit, took in found:
        print(f"{name:24} {took:6.2f} {limit:6.2f}{'  over' if took > limit else ''}")
    return int(any(took > limit for _, limit, took in found))


if __name__ == "__main__":
    raise SystemExit(main())

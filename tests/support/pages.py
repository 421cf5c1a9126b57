"""Opens pages by AppTest and reads what they show."""

from __future__ import annotations

import json

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from engine.config import REPOSITORY

PAGES = ("compare", "new_run", "jobs", "classify", "results", "datasets", "system", "run")

ADDRESSES = {"compare": "", "import_results": "import"}
"""Of the pages whose address is not their name."""


def at(page: str = "compare", **query: str) -> AppTest:
    """A page as its address opens it, not yet run.

    `AppTest.switch_page` would need a run of the first page before, which is the slowest of all.
    """
    app = AppTest.from_file(str(REPOSITORY / "dashboard" / "app.py"), default_timeout=30)
    # Streamlit knows a page by the hash of its path in the address.
    app._page_hash = calc_hash(ADDRESSES.get(page, page.replace("_", "-")))
    for name, value in query.items():
        app.query_params[name] = value
    return app


def opened(page: str = "compare", **query: str) -> AppTest:
    """A page, run once."""
    app = at(page, **query).run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    """All that the page says in text."""
    kinds = (app.markdown, app.caption, app.error, app.warning, app.info, app.title, app.subheader)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def plain_texts(app: AppTest) -> str:
    """The same without the marks that keep it from being read as markup."""
    return texts(app).replace("\\", "")


def figures(app: AppTest) -> list[dict]:
    """The charts as plotly JSON."""
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def missing(text: str, *parts: str) -> list[str]:
    """The key parts (names, figures) that a sentence lacks, however it is worded."""
    return [part for part in parts if part.lower() not in text.lower()]

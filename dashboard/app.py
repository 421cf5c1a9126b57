"""Entry point of the dashboard (`streamlit run dashboard/app.py`): routing to the pages."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = str(Path(__file__).resolve().parent.parent)
if REPOSITORY not in sys.path:
    # `streamlit run` adds only the folder of this file to the path.
    sys.path.insert(0, REPOSITORY)

import streamlit as st  # noqa: E402

from dashboard import queries  # noqa: E402
from dashboard.components.common.guard import guard  # noqa: E402
from dashboard.components.common.login import require_login  # noqa: E402
from dashboard.components.common.notice import show_notice  # noqa: E402
from engine.hosts.ownership import require_ownership  # noqa: E402
from engine.jobs import dispatcher  # noqa: E402
from engine.store.database import prepare_database  # noqa: E402


@st.cache_resource(show_spinner=False)
def prepared(url: str) -> str:
    """Migrates the database, once per process."""
    return prepare_database()


def page(name: str, title: str, icon: str, about: str, **options: object) -> st.Page:
    """A page of app_pages."""
    path = f"app_pages/{name}.py"
    return st.Page(path, title=title, icon=f":material/{icon}:", help=about, **options)  # type: ignore[arg-type]


# The page_icon is a local file: a material icon would be fetched from another host.
st.set_page_config("SENet Workbench", Path(__file__).with_name("icon.svg"), layout="wide")
st.logo(Path(__file__).with_name("logo.svg"), size="medium")
require_login()
pages = [
    page("compare", "Compare", "scatter_plot", "Accuracy, compute and speed.", default=True),
    page("new_run", "New run", "add_circle", "Build and measure a model.", url_path="new-run"),
    page("jobs", "Jobs", "pending_actions", "Running, queued and past jobs.", url_path="jobs"),
    page("classify", "Classify", "image_search", "Top-5 of your images.", url_path="classify"),
    page("results", "Results", "table_chart", "All results, with export.", url_path="results"),
    page("import_results", "Import", "upload_file", "Results of others.", url_path="import"),
    page("datasets", "Datasets", "photo_library", "Images to evaluate on.", url_path="datasets"),
    page("system", "System", "memory", "Machine, versions, definitions.", url_path="system"),
    page("run", "Run", "receipt_long", "One run.", url_path="run", visibility="hidden"),
    page("help", "Help", "help", "The documents.", url_path="help", visibility="hidden"),
]
selected_page = st.navigation(pages, position="top")
with guard():
    require_ownership(prepared(queries.url()))
    dispatcher.ensure_dispatcher()
    show_notice()
    selected_page.run()

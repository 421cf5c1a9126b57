"""No traceback ever reaches a page."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from pandas.errors import DatabaseError
from sqlalchemy.exc import SQLAlchemyError

from dashboard.formats import message
from engine.errors import WorkbenchError

log = logging.getLogger("dashboard")


@contextmanager
def guard() -> Iterator[None]:
    """Shows an error of the engine as its sentence, anything else as one line, and logs it."""
    try:
        yield
    except WorkbenchError as error:
        st.error(message(str(error)), icon=":material/error:")
    except (SQLAlchemyError, DatabaseError):
        log.exception("The database failed.")
        st.error(
            "The database could not be read or written just now; reload the page to try again. "
            "What happened is in the log of the server.",
            icon=":material/database_off:",
        )
    except Exception:
        log.exception("A page failed.")
        st.error(
            "This part of the page failed unexpectedly; what happened is in the log of the "
            "server. The rest of the workbench goes on.",
            icon=":material/bug_report:",
        )

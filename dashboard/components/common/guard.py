"""Error handling of pages: an exception becomes a sentence, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from pandas.errors import DatabaseError
from sqlalchemy.exc import SQLAlchemyError

from dashboard.components.common.notice import leave_notice
from dashboard.formats import message
from engine.common.error_sentences import error_message
from engine.errors import WorkbenchError

log = logging.getLogger("dashboard")


@contextmanager
def guard() -> Iterator[None]:
    """Shows an exception as its error text on the page."""
    try:
        yield
    except Exception as error:
        st.error(message(error_text(error)), icon=_icon(error))


@contextmanager
def guard_callback() -> Iterator[None]:
    """`guard` for callbacks, which cannot draw: the error text becomes a notice."""
    try:
        yield
    except Exception as error:
        leave_notice(message(error_text(error)))


def error_text(error: Exception) -> str:
    """The sentence for an exception; an unexpected one is logged with its traceback."""
    if isinstance(error, WorkbenchError):
        return str(error)
    log.error("A page failed.", exc_info=error)
    return error_message(error) or (
        "This part of the page failed unexpectedly; see the log of the server. The other parts are "
        "not affected."
    )


def _icon(error: Exception) -> str:
    if isinstance(error, SQLAlchemyError | DatabaseError):
        return ":material/database_off:"
    return ":material/error:" if error_message(error) else ":material/bug_report:"

"""Who holds the machine, in one clause: this workbench, another one, or nobody."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard.formats import duration, plural
from db.models import Job
from engine.config import settings
from engine.hosts import home
from engine.jobs.host_lock import Holder, holder
from engine.jobs.locks import is_locked

NOUNS = {"benchmark": "a benchmark", "peak": "a measurement of the peak"}


def machine_holder() -> Holder | None:
    """Who holds the machine alone; None while it is free or shared."""
    path = settings().host_lock
    if not is_locked(path, shared=True):
        return None
    return holder(path) or Holder("", 0.0, "")


def is_own(held: Holder) -> bool:
    """Whether it is a job of this workbench."""
    own = home.load()
    return own is not None and held.home == own.identity


def machine_text(held: Holder | None, running: Sequence[Job]) -> str:
    """`Machine free`, or who uses it; `running`: the running jobs of this workbench."""
    if held is not None:
        what = NOUNS.get(held.kind, "a job")
        whose = "" if is_own(held) else " of another workbench"
        return f"Machine in use by {what}{whose} alone{since(held)}"
    if not is_locked(settings().host_lock, shared=False):
        return "Machine free"
    if running:
        return f"Machine shared by {plural(len(running), 'job')} of this workbench"
    return "Machine in use by jobs of another workbench"


def since(held: Holder) -> str:
    """`, since 14:05 (3 min)`, on the clock of the browser; empty where it is not known."""
    if not held.since:
        return ""
    elapsed = duration(max(0.0, time.time() - held.since))
    return f", since {clock(held.since)} ({elapsed})"


def clock(epoch: float) -> str:
    """Hour and minute in the time zone of the browser."""
    try:
        zone: datetime.tzinfo | None = ZoneInfo(st.context.timezone or "")
    except (KeyError, ValueError):
        zone = None  # that of the server
    return datetime.datetime.fromtimestamp(epoch, zone).strftime("%H:%M")

"""Two workbenches on one machine: each page says who has it, and idle pages follow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from db.enums import JobStatus
from engine.config import settings
from engine.jobs.host_lock import announce
from engine.jobs.locks import try_lock
from tests.support import rows
from tests.support.screenshots import settle
from tests.support.server import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
PATIENCE_MS = 30_000


@pytest.fixture
def addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Two workbenches with one host lock; this process stands for the first of them."""
    lock = tmp_path / "host.lock"
    with ExitStack() as stack:
        homes = [tmp_path / "first", tmp_path / "second"]
        found = [stack.enter_context(serving(home, host_lock=lock)) for home in homes]
        monkeypatch.setenv("SENET_HOME", str(homes[0]))
        monkeypatch.setenv("SENET_HOST_LOCK", str(lock))
        settings.cache_clear()
        yield found
    settings.cache_clear()


def jobs(browser: Browser, address: str) -> Page:
    page = browser.new_page()
    page.goto(f"{address}/jobs")
    settle(page)
    return page


def test_each_says_who_has_the_machine_and_all_tabs_follow(
    browser: Browser, addresses: list[str]
) -> None:
    own, other = (jobs(browser, address) for address in addresses)
    for home in (settings().home, settings().home.with_name("second")):
        rows.add_job(f"sqlite:///{home / 'senet.db'}", JobStatus.SUCCEEDED, "Build a")
    second_tab = jobs(browser, addresses[1])
    for page in (own, other, second_tab):
        expect(page.get_by_text("Machine free")).to_be_visible(timeout=PATIENCE_MS)
    lock = try_lock(settings().host_lock)
    assert lock is not None
    try:
        announce(lock, "benchmark")
        foreign = re.compile(r"in use by a benchmark of another workbench alone, since \d+:\d\d")
        for page in (other, second_tab):
            expect(page.get_by_text(foreign)).to_be_visible(timeout=PATIENCE_MS)
        mine = re.compile(r"in use by a benchmark alone, since \d+:\d\d")
        expect(own.get_by_text(mine)).to_be_visible(timeout=PATIENCE_MS)
    finally:
        os.close(lock)
    for page in (own, other, second_tab):
        expect(page.get_by_text("Machine free")).to_be_visible(timeout=PATIENCE_MS)
        page.close()

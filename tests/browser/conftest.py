"""One Chromium for all browser tests: skipped without one, but never so in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.server import CHROMIUM_ARGS, find_chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    path = find_chromium()
    if path is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("There is no Chromium, and in continuous integration there must be one.")
        pytest.skip("There is no Chromium on this machine.")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGS))
        yield opened
        opened.close()

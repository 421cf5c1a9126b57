"""What the Tab key reaches on a page."""

from __future__ import annotations

from playwright.sync_api import Page


def tabbed_through(page: Page, steps: int) -> list[str]:
    """What has the focus after each press of Tab, as it is called."""
    reached = []
    for _ in range(steps):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "() => { const e = document.activeElement;"
                " return (e.getAttribute('aria-label') || e.innerText || '').slice(0, 60) }"
            )
        )
    return reached

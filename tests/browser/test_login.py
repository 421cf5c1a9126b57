"""Login with a real OpenID provider on this machine: nothing before it, everything after it.

Needs Authlib and oidc-provider-mock of requirements/dev.txt: skipped without, but not in CI.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.support import rows
from tests.support.screenshots import PAGES
from tests.support.server import serving

needed = importlib.import_module if os.environ.get("CI") == "true" else pytest.importorskip
oidc = needed("oidc_provider_mock")
needed("authlib")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SECRETS = """[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "a secret of this test, longer than thirty-two characters"
client_id = "workbench"
client_secret = "secret"
server_metadata_url = "http://127.0.0.1:{port}/.well-known/openid-configuration"
"""


@pytest.fixture
def address(url: str, tmp_path: Path) -> Iterator[str]:
    """A workbench with one measured model that asks for a login."""
    rows.add_measured_model(url)
    secrets = tmp_path / "secrets.toml"
    with oidc.run_server_in_thread() as provider:
        secrets.write_text(SECRETS.format(port=provider.server_port))
        home = Path(url.removeprefix("sqlite:///")).parent
        with serving(home, "--secrets.files", str(secrets)) as found:
            yield found


def test_nothing_before_the_login_all_after_it_and_nothing_after_the_logout(
    browser: Browser, address: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    said = listen(page)
    for path in PAGES.values():
        page.goto(address + path)
        expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=30_000)
    assert "Log in" in "".join(said)
    assert "seresnet" not in "".join(said).lower()

    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(re.compile("/oauth2/authorize"))
    page.locator("input[name=sub]").fill("somebody@example.org")
    page.locator("button, input[type=submit]").first.click()
    answer = page.get_by_text("Inconclusive: timm/seresnet50 int8").first
    expect(answer).to_be_visible(timeout=30_000)

    page.goto(address + "/system")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(re.compile("/oauth2/end_session"))  # the provider is told, too
    said.clear()
    page.goto(address)
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=30_000)
    assert "seresnet" not in "".join(said).lower()
    context.close()


def listen(page: Page) -> list[str]:
    """Everything that the server says through the page's sockets, as it comes."""
    said: list[str] = []

    def note(payload: bytes | str) -> None:
        said.append(payload if isinstance(payload, str) else payload.decode("latin-1"))

    def follow(socket: WebSocket) -> None:
        socket.on("framereceived", note)

    page.on("websocket", follow)
    return said

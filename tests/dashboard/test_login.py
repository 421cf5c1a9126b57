"""With a login configured nothing is readable without it; without one nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.common import login
from engine.config import REPOSITORY
from tests.support import rows
from tests.support.pages import PAGES, texts

AUTH = {
    "redirect_uri": "http://localhost:8501/oauth2callback",
    "cookie_secret": "x" * 32,
    "client_id": "id",
    "client_secret": "secret",
    "server_metadata_url": "https://id.invalid/.well-known/openid-configuration",
}


@pytest.fixture
def app(url: str) -> AppTest:
    rows.add_measured_model(url)
    found = AppTest.from_file(str(REPOSITORY / "dashboard" / "app.py"), default_timeout=30)
    found.secrets["auth"] = AUTH
    return found


@pytest.fixture
def _authlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "find_spec", lambda name: object())


@pytest.mark.usefixtures("_authlib")
def test_nothing_is_shown_before_the_login(app: AppTest) -> None:
    app.run()
    assert [button.label for button in app.button] == ["Log in"]
    for name in PAGES:
        app.switch_page(f"app_pages/{name}.py").run()
        assert not app.dataframe
        assert not app.get("plotly_chart")
        assert "seresnet50" not in texts(app)
        assert [button.key for button in app.button] == ["login"]


@pytest.mark.usefixtures("_authlib")
def test_after_the_login_everything_is_there(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login.st, "user", {"is_logged_in": True, "email": "a@[b].c"})
    app.run()
    assert app.get("plotly_chart")
    app.switch_page("app_pages/system.py").run()
    assert r"Logged in as a@\[b\]\.c" in texts(app)
    assert "logout" in [button.key for button in app.button]


def test_a_login_without_its_package_shows_nothing(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "find_spec", lambda name: None)
    app.run()
    assert "package Authlib is missing" in app.error[0].value
    assert not app.get("plotly_chart")


def test_secrets_that_cannot_be_read_ask_for_a_login(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Broken(dict):
        def __contains__(self, key: object) -> bool:
            raise FileNotFoundError

    monkeypatch.setattr(login.st, "secrets", Broken())
    for exists in (True, False):
        path = tmp_path / "secrets.toml"
        path.touch() if exists else path.unlink()
        monkeypatch.setattr(login.st, "get_option", lambda name, path=path: [str(path)])
        assert login.is_configured() is exists

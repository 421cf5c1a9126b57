"""Login by OpenID Connect where it is configured; then nothing is shown without it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import streamlit as st

from dashboard.formats import escape_markdown

SECTION = "auth"


def is_configured() -> bool:
    """Whether secrets.toml has an [auth] section.

    A secrets file that cannot be read counts as one that asks for a login: fail closed.
    """
    try:
        return SECTION in st.secrets
    except FileNotFoundError:
        return any(Path(path).exists() for path in st.get_option("secrets.files"))


def require_login() -> None:
    """Stops the script, with a way to log in, unless nobody asks for a login or it was done."""
    if not is_configured():
        return
    if find_spec("authlib") is None:
        st.title("SENet Workbench")
        st.error(
            "A login is configured, but the package that does it is missing: install Authlib "
            "(`pip install 'streamlit[auth]'`) and start the workbench again. Nothing is shown "
            "meanwhile.",
            icon=":material/lock:",
        )
        st.stop()
    if not st.user.get("is_logged_in", False):
        st.title("SENet Workbench")
        st.markdown("Log in to see anything here.")
        st.button("Log in", on_click=st.login, type="primary", icon=":material/login:", key="login")
        st.stop()


def show_user() -> None:
    """Who is logged in, and the way out."""
    if not is_configured():
        return
    name = st.user.get("email") or st.user.get("name") or "somebody without a name"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Logged in as {escape_markdown(str(name))}.")
        st.button("Log out", on_click=st.logout, icon=":material/logout:", key="logout")

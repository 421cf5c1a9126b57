"""Login by OpenID Connect; where it is configured, pages are shown only after it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import streamlit as st

from dashboard.formats import escape_markdown

SECTION = "auth"


def is_configured() -> bool:
    """Whether secrets.toml has an [auth] section.

    True also for a secrets file that cannot be read (fail closed).
    """
    try:
        return SECTION in st.secrets
    except FileNotFoundError:
        return any(Path(path).exists() for path in st.get_option("secrets.files"))


def require_login() -> None:
    """Shows the login page and stops the script, unless login is off or the user is logged in."""
    if not is_configured():
        return
    if find_spec("authlib") is None:
        st.title("SENet Workbench")
        st.error(
            "Login is configured, but the package Authlib is missing: install it "
            "(`pip install 'streamlit[auth]'`) and restart the workbench.",
            icon=":material/lock:",
        )
        st.stop()
    if not st.user.get("is_logged_in", False):
        st.title("SENet Workbench")
        st.markdown("Log in to continue.")
        st.button("Log in", on_click=st.login, type="primary", icon=":material/login:", key="login")
        st.stop()


def show_user() -> None:
    """The name of the user, and Log out."""
    if not is_configured():
        return
    name = st.user.get("email") or st.user.get("name") or "a user without a name"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Logged in as {escape_markdown(str(name))}.")
        st.button("Log out", on_click=st.logout, icon=":material/logout:", key="logout")

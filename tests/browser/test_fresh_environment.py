"""An environment with requirements.txt and nothing else: `streamlit run dashboard/app.py` works."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest
import streamlit
from playwright.sync_api import Browser, expect

from tests.support.server import REPOSITORY, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def fresh_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has this one's packages, by their folder, without our own.

    `pip install -r requirements.txt` then has nothing to fetch: that it succeeds without an index
    says that the pinned versions are there and agree with each other.
    """
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "pinned.pth").write_text(str(Path(streamlit.__file__).parents[1]))
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run(
        [*pip, "install", "--quiet", "--no-index", "-r", str(REPOSITORY / "requirements.txt")],
        check=True,
    )
    script = Path(sys.executable).with_name("streamlit").read_text().splitlines()
    (python.with_name("streamlit")).write_text("\n".join([f"#!{python}", *script[1:]]))
    python.with_name("streamlit").chmod(0o755)
    return python


def test_the_environment_is_without_our_package(fresh_python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(fresh_python), "-c", "import streamlit, engine"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "No module named 'engine'" in done.stderr


def test_streamlit_run_works_by_itself(fresh_python: Path, home: Path, browser: Browser) -> None:
    with serving(home, python=fresh_python) as address:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=10) as answer:
            assert answer.status == 200
        page = browser.new_page()
        page.goto(address)
        expect(page.get_by_role("button", name="Run the built-in demo")).to_be_visible(
            timeout=60_000
        )
        page.close()

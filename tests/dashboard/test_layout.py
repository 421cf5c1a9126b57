"""Traps of a Streamlit project: shadowed modules, the import path, remote fonts, heavy imports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

from engine.config import REPOSITORY
from tests.support.server import serving

pytestmark = pytest.mark.integration

DASHBOARD = REPOSITORY / "dashboard"
CONFIG = REPOSITORY / ".streamlit" / "config.toml"


def test_no_module_shadows_another() -> None:
    # `streamlit run` puts dashboard/ first on the path: its names hide all others.
    taken = set(sys.stdlib_module_names) | {"db", "engine", "tests", "benchmarks", "dashboard"}
    names = {path.stem for path in DASHBOARD.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not names & taken
    assert "pages" not in names


def test_settings_keep_the_server_at_home() -> None:
    found = tomllib.loads(CONFIG.read_text())
    assert found["server"]["address"] == "127.0.0.1"
    assert found["server"]["headless"] is True
    assert found["server"]["enableXsrfProtection"] is True
    assert found["server"]["allowedHosts"] == ["127.0.0.1", "localhost"]
    assert found["browser"]["gatherUsageStats"] is False
    assert found["client"]["showErrorDetails"] == "type"
    assert {"light", "dark"} <= set(found["theme"])
    assert not re.search(r"https?://", CONFIG.read_text())


def test_every_page_runs_without_torch() -> None:
    code = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        "app = AppTest.from_file('dashboard/app.py', default_timeout=30).run()\n"
        f"for page in {sorted(path.name for path in (DASHBOARD / 'app_pages').glob('*.py'))}:\n"
        "    app.switch_page('app_pages/' + page).run()\n"
        "    assert not app.exception and not app.error, page\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert not {"torch", "timm", "torchvision", "onnxruntime"} & set(result.stdout.split())


def test_the_real_command_serves_every_page(tmp_path: Path) -> None:
    with serving(tmp_path / "served", "--server.enableAgentApi=true") as address:
        first = interact(address, {})
        for path in ("new-run", "jobs", "classify", "results", "datasets", "system", "run"):
            page = interact(address, {"session_id": first["session_id"], "page": path})
            assert page["status"] == "ready", path
            assert '"type": "error"' not in json.dumps(page["tree"]), path
    assert first["status"] == "ready"
    assert "Run the built-in demo" in json.dumps(first["tree"])
    assert "Traceback" not in (tmp_path / "served" / "server.log").read_text()


def interact(address: str, request: dict[str, object]) -> dict:
    """One request to the server's agent interface: the page as data."""
    asked = urllib.request.Request(
        f"{address}/_stcore/agent/interact",
        json.dumps(request).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)

"""The arrows: dashboard -> engine -> db, and torch only where a job computes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.config import REPOSITORY

pytestmark = pytest.mark.integration

HEAVY = {"torch", "timm", "torchvision"}
RUNTIMES = {"onnxruntime", "openvino", "tensorrt"}


def modules_of(package: str) -> list[str]:
    root = REPOSITORY / package
    files = [p for p in sorted(root.rglob("*.py")) if "migrations" not in p.parts]
    names = [".".join(p.relative_to(REPOSITORY).with_suffix("").parts) for p in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def imported_by(modules: list[str]) -> set[str]:
    code = (
        f"import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(*{{name.partition('.')[0] for name in sys.modules}})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_db_knows_nobody() -> None:
    assert not imported_by(modules_of("db")) & {"engine", "dashboard", "streamlit", *HEAVY}


def test_the_engine_knows_no_page_and_loads_torch_only_to_compute() -> None:
    computing = ("engine.checkpoints.", "engine.demo.network", "engine.demo.train")
    sessions = "engine.runtimes.torch"
    light = [n for n in modules_of("engine") if not n.startswith(computing) and n != sessions]
    assert "engine.export.job" in light
    assert not imported_by(light) & {"dashboard", "streamlit", *HEAVY}


def test_the_dashboard_loads_neither_torch_nor_a_runtime() -> None:
    # Page scripts run inside Streamlit; their imports are those of the modules they use.
    names = [n for n in modules_of("dashboard") if ".app_pages" not in n and n != "dashboard.app"]
    assert names
    assert not imported_by(names) & {"onnx", *HEAVY, *RUNTIMES}

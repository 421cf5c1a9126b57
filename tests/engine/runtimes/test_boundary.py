"""Only engine/runtimes imports a runtime library."""

from __future__ import annotations

import ast
from pathlib import Path

from engine.config import REPOSITORY

LIBRARIES = {"onnxruntime", "openvino", "tensorrt"}


def imported(path: Path) -> set[str]:
    """The packages that a file imports anywhere in it, for types too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_only_runtimes_import_a_runtime_library() -> None:
    packages = [REPOSITORY / name for name in ("db", "engine", "dashboard")]
    files = [path for package in packages for path in package.rglob("*.py")]
    importing = {path.parent for path in files if imported(path) & LIBRARIES}
    assert importing == {REPOSITORY / "engine" / "runtimes"}

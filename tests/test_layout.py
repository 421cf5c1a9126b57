"""How the tests are laid out: what they share is in tests/support, and no test imports another."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
SHARED = ("tests.support",)


def modules_imported_by(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file; `from a import b` counts as `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_no_test_imports_another() -> None:
    wrong = [
        f"{path.relative_to(TESTS)}: {module}"
        for path in sorted(TESTS.rglob("*.py"))
        for module in sorted(modules_imported_by(path))
        if module.startswith("tests.") and not module.startswith(SHARED)
    ]
    assert not wrong


def test_what_is_shared_holds_no_tests() -> None:
    assert not list((TESTS / "support").rglob("test_*.py"))

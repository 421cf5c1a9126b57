"""The dependencies of the packages, read from the imports of every module, also the lazy ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from engine.checkpoints.registry import SOURCES
from engine.cli.commands import COMMANDS
from engine.config import REPOSITORY
from engine.worker import HANDLERS

# From the top down: a package imports from those below its line, never from its own line or above.
LAYERS = """
dashboard
engine.__main__
engine.cli engine.worker
engine.vacc
engine.results
engine.imports
engine.runs
engine.peak
engine.classify
engine.profiling engine.excitations engine.layer_errors engine.calibration_draws
engine.benchmark
engine.evaluation
engine.build
engine.export
engine.checkpoints
engine.weights
engine.datasets
engine.store
engine.jobs
engine.hosts
engine.runtimes
engine.onnx
engine.catalog
engine.demo
engine.specs
engine.preprocess
engine.common
engine.config
engine.errors
engine.text
db
"""
LEVEL = {
    package: level
    for level, line in enumerate(reversed(LAYERS.split("\n")))
    for package in line.split()
}
# Where a library may be imported: by whom, and why nobody else.
ONLY_IN = {
    "onnxruntime": ("engine.runtimes",),
    "openvino": ("engine.runtimes",),
    "streamlit": ("dashboard",),
    "plotly": ("dashboard",),
}
NEVER_IN = {"dashboard": {"torch", "timm", "torchvision", "onnxruntime", "openvino"}}


@cache
def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name."""
    found = {}
    for top in ("db", "engine", "dashboard"):
        for path in sorted((REPOSITORY / top).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            if "versions" not in parts:  # of Alembic, loaded by their paths
                found[".".join(parts).removesuffix(".__init__")] = path
    return found


@cache
def imports_of(module: str) -> frozenset[str]:
    """What a module imports anywhere in it: our own modules in full, libraries by first name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            assert node.module is not None
            for name in node.names:
                full = f"{node.module}.{name.name}"
                found.add(full if full in modules() else node.module)
    own = {name for name in found if name in modules()}
    return frozenset(own | {name.partition(".")[0] for name in found - own})


def package_of(module: str) -> str:
    """The entry of LAYERS that a module belongs to."""
    top, _, rest = module.partition(".")
    return top if top in ("db", "dashboard") else f"{top}.{rest.partition('.')[0]}"


def test_every_package_has_a_layer() -> None:
    packages = {package_of(module) for module in modules() if module != "engine"}
    assert packages == set(LEVEL)


def test_imports_point_down() -> None:
    upward = [
        f"{module} -> {imported}"
        for module in modules()
        for imported in imports_of(module)
        if imported in modules() and imported != "engine" and module != "engine"
        if (package := package_of(module)) != (other := package_of(imported))
        if LEVEL[other] >= LEVEL[package]
    ]
    assert not upward


def strings_that_name_modules() -> Iterator[tuple[str, str]]:
    for kind, handler in HANDLERS.items():
        yield f"the handler of {kind}", handler.partition(":")[0]
    for name, command in COMMANDS.items():
        yield f"the command {name}", f"engine.cli.{command.target.partition(':')[0]}"
    for source, module in SOURCES.items():
        yield f"the source {source}", module


@pytest.mark.parametrize(("what", "module"), list(strings_that_name_modules()))
def test_modules_named_in_tables_exist(what: str, module: str) -> None:
    assert module in modules(), what


def test_handlers_are_below_the_worker() -> None:
    handlers = {handler.partition(":")[0] for handler in HANDLERS.values()}
    assert all(LEVEL[package_of(module)] < LEVEL["engine.worker"] for module in handlers)


def test_no_circle() -> None:
    graph = {m: {i for i in imports_of(m) if i in modules() and i != m} for m in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {error.args[1]}")


def test_libraries_stay_where_they_belong() -> None:
    strays = [
        f"{module} imports {library}"
        for module in modules()
        for library, packages in ONLY_IN.items()
        if library in imports_of(module) and not module.startswith(packages)
    ]
    strays += [
        f"{module} imports {library}"
        for module in modules()
        for package, libraries in NEVER_IN.items()
        for library in libraries & imports_of(module)
        if module.startswith(package)
    ]
    assert not strays

"""The runtimes by name. A runtime's module is imported when the runtime is used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import InvalidRequest
from engine.specs import DEFAULT_RUNTIME
from engine.specs.precisions import facts_of
from engine.text import quoted

if TYPE_CHECKING:
    from engine.runtimes.base import LoadOptions, Runtime, Session


@dataclass(frozen=True, slots=True)
class Entry:
    """A runtime: its label, its class as `module:class`, and whether it can profile operators."""

    label: str
    where: str
    profiles: bool = False


RUNTIMES: dict[str, Entry] = {
    DEFAULT_RUNTIME: Entry("ONNX Runtime", "engine.runtimes.onnxruntime:OnnxRuntime", profiles=True)
}


def is_choice() -> bool:
    """Whether there is more than one runtime to choose from."""
    return len(RUNTIMES) > 1


def label_of(name: str) -> str:
    """The display name of a runtime."""
    return RUNTIMES[name].label if name in RUNTIMES else name


def runtime_of(name: str) -> Runtime:
    """The registered runtime of this name."""
    return _imported(RUNTIMES[name].where)


@cache
def _imported(where: str) -> Runtime:
    module, _, attribute = where.partition(":")
    runtime: Runtime = getattr(import_module(module), attribute)()
    return runtime


def why_not(name: str, precision: str) -> str | None:
    """Why a runtime does not execute a precision, with the way out; None where it does."""
    if name not in RUNTIMES:
        return f"There is no runtime {quoted(name)}: choose {' or '.join(RUNTIMES)}."
    executing = [runtime for runtime in RUNTIMES if runtime in facts_of(precision).runtimes]
    if name in executing:
        return None
    others = f"choose runtime {' or '.join(executing)}, or " if executing else ""
    return f"Runtime {name} does not execute {precision}: {others}choose another precision."


def require(name: str, precision: str) -> None:
    """Raises InvalidRequest if a runtime is unknown or does not execute a precision."""
    reason = why_not(name, precision)
    if reason is not None:
        raise InvalidRequest(reason)


def load(name: str, path: Path, precision: str, device: str, options: LoadOptions) -> Session:
    """Loads a model with the runtime of this name; see `Runtime.load` and `require`."""
    require(name, precision)
    return runtime_of(name).load(path, precision, device, options)


def with_version(name: str) -> str:
    """Name and version, such as `onnxruntime 1.32.0`, as stored in results."""
    return f"{name} {runtime_of(name).version()}"


def name_in(recorded: str) -> str:
    """The name in `onnxruntime 1.32.0`."""
    return recorded.partition(" ")[0]

"""The runtimes by name. A runtime's module is imported when the runtime is used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from db.enums import Precision
from engine.errors import InvalidRequest, ProviderUnavailable
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME
from engine.specs.precisions import PRECISIONS, REFERENCE, facts_of, file_precision
from engine.text import plural, quoted

if TYPE_CHECKING:
    from engine.runtimes.base import LoadOptions, Runtime, Session

FLOATS = frozenset({Precision.FP32, Precision.FP16, Precision.BF16})


@dataclass(frozen=True, slots=True)
class Entry:
    """A runtime: its label, its class as `module:class`, and what else it can do.

    `tag`: a short label beside marks of charts. `profiles`: it times operators; `has_peak`: the
    peak of a machine is measured in it.
    """

    label: str
    where: str
    profiles: bool = False
    has_peak: bool = False
    tag: str = ""


RUNTIMES: dict[str, Entry] = {
    DEFAULT_RUNTIME: Entry(
        "ONNX Runtime",
        "engine.runtimes.onnxruntime_runtime:OnnxRuntime",
        profiles=True,
        has_peak=True,
        tag="ORT",
    ),
    "openvino": Entry(
        "OpenVINO",
        "engine.runtimes.openvino_runtime:OpenVinoRuntime",
        profiles=True,
        has_peak=True,
        tag="OV",
    ),
    "torch": Entry("torch", "engine.runtimes.torch_runtime:TorchRuntime", tag="torch"),
}
"""In the order of lists and legends; the pinned version of each is in requirements.txt."""


def label_of(name: str) -> str:
    """The display name of a runtime."""
    return RUNTIMES[name].label if name in RUNTIMES else name


def other_runtime(recorded: object) -> str:
    """Display name of a recorded runtime other than the default one; else empty."""
    name = name_in(str(recorded))
    return RUNTIMES[name].label if name in RUNTIMES and name != DEFAULT_RUNTIME else ""


def tag_of(recorded: str) -> str:
    """The short label of the runtime in `openvino 2026.4.1`; empty for one that is not here."""
    name = name_in(recorded)
    return RUNTIMES[name].tag if name in RUNTIMES else ""


def runtime_of(name: str) -> Runtime:
    """The registered runtime of this name."""
    return _imported(RUNTIMES[name].where)


@cache
def _imported(where: str) -> Runtime:
    module, _, attribute = where.partition(":")
    runtime: Runtime = getattr(import_module(module), attribute)()
    return runtime


def why_not(name: str, precision: str, device: str = CPU_PROVIDER) -> str | None:
    """Why a runtime does not execute a precision here, with the way out; None where it does.

    Imports no library.
    """
    reason = _why_never(name, precision)
    return reason or runtime_of(name).supports(precision, device)


def _why_never(name: str, precision: str) -> str | None:
    """Why a runtime executes a precision on no device of this machine."""
    if name not in RUNTIMES:
        return f"There is no runtime {quoted(name)}: choose {' or '.join(RUNTIMES)}."
    executing = [runtime for runtime in RUNTIMES if runtime in facts_of(precision).runtimes]
    if name not in executing:
        others = f"choose runtime {' or '.join(executing)}, or " if executing else ""
        return f"Runtime {name} does not execute {precision}: {others}choose another precision."
    if runtime_of(name).version() is None:
        return (
            f"Runtime {name} is not installed: install it with `pip install -r requirements.txt`, "
            f"or choose runtime {DEFAULT_RUNTIME}."
        )
    return None


def load(name: str, path: Path, precision: str, device: str, options: LoadOptions) -> Session:
    """Loads a model with the runtime of this name; see `Runtime.load`.

    Raises InvalidRequest if the runtime is unknown, absent, or does not execute the precision, and
    ProviderUnavailable where other arithmetic than that of the precision would run.
    """
    never = _why_never(name, precision)
    if never is not None:
        raise InvalidRequest(never)
    missing = runtime_of(name).supports(precision, device)
    if missing is not None:
        raise ProviderUnavailable(missing)
    session = runtime_of(name).load(path, precision, device, options)
    other = other_arithmetic(precision, session.placement)
    if other is not None:
        session.__exit__(None, None, None)
        raise ProviderUnavailable(
            f"{precision} was requested, but {label_of(name)} would run {other}; nothing was "
            f"measured."
        )
    return session


def other_arithmetic(precision: str, placement: dict[str, int] | None) -> str | None:
    """What would run instead of a precision (`53 layers in bf16`); None where it is what runs.

    `placement`: as of a Session. Every layer is in the precision, in fp32 or in integers, and where
    the precision is another one than fp32, at least one layer is in it. A precision with another
    arithmetic for the rest needs layers in both.
    """
    rest = facts_of(precision).rest
    own = {precision} if rest is None else {file_precision(precision), rest}
    layers: Counter[str] = Counter()
    for name, count in (placement or {}).items():
        layers[name.partition(" ")[2]] += count
    layers.pop("", None)  # a device alone: the runtime does not report the arithmetic
    foreign = [kind for kind in layers if kind in FLOATS - {REFERENCE} - own]
    absent = bool(layers) and precision != REFERENCE and not all(layers[kind] for kind in own)
    if not foreign and not absent:
        return None
    return " and ".join(f"{plural(n, 'layer')} in {kind}" for kind, n in layers.items() if n)


@dataclass(frozen=True, slots=True)
class Status:
    """A runtime here: version (None: not installed), precisions that it executes, what it cannot.

    `reasons`: one sentence for each precision that this machine does not execute in it, although
    the runtime does elsewhere.
    """

    name: str
    label: str
    version: str | None
    precisions: tuple[str, ...]
    reasons: tuple[str, ...]


def statuses() -> list[Status]:
    """Every runtime of the registry on this machine; imports no library."""
    found = []
    for name, entry in RUNTIMES.items():
        reasons = {
            precision: why_not(name, precision)
            for precision, facts in PRECISIONS.items()
            if name in facts.runtimes
        }
        executed = tuple(str(precision) for precision, why in reasons.items() if why is None)
        sentences = tuple(dict.fromkeys(why for why in reasons.values() if why is not None))
        version = runtime_of(name).version()
        found.append(Status(name, entry.label, version, executed, sentences))
    return found


def versions() -> dict[str, str]:
    """Version of each installed runtime, by name."""
    found = {name: runtime_of(name).version() for name in RUNTIMES}
    return {name: version for name, version in found.items() if version is not None}


def with_version(name: str) -> str:
    """Name and version, such as `onnxruntime 1.32.0`, as stored in results."""
    return f"{name} {runtime_of(name).version()}"


def name_in(recorded: str) -> str:
    """The name in `onnxruntime 1.32.0`."""
    return recorded.partition(" ")[0]

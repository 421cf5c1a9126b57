"""The precisions: one table of facts, read by the engine, the command line and the pages.

Colors keep a contrast of 3:1 to their background and the greatest distance from each other under
normal, protan, deutan and tritan vision; each precision has a symbol of its own too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from db.enums import Precision
from engine.specs.base import DEFAULT_RUNTIME


@dataclass(frozen=True, slots=True)
class Facts:
    """`light` and `dark` are colors of the two themes, `stroke` the dash of a line in Plotly.

    `runtimes` execute it. `lossy`: scores differ from the export's by more than rounding.
    `file_of` is the precision whose model file it executes, where it has none of its own; `rest`
    is the arithmetic of the layers that are not in the precision of the file, where not fp32.
    """

    light: str
    dark: str
    symbol: str
    stroke: str
    weight_bytes: int
    runtimes: frozenset[str]
    lossy: bool = True
    file_of: Precision | None = None
    rest: Precision | None = None


OPENVINO, TORCH = "openvino", "torch"
REFERENCE = Precision.FP32
"""What drops of accuracy and speed-ups are measured against."""

PRECISIONS: dict[str, Facts] = {
    Precision.FP32: Facts(
        light="#332288",
        dark="#aa4499",
        symbol="circle",
        stroke="solid",
        weight_bytes=4,
        runtimes=frozenset({DEFAULT_RUNTIME, OPENVINO, TORCH}),
        lossy=False,
    ),
    Precision.FP16: Facts(
        light="#648fff",
        dark="#648fff",
        symbol="square",
        stroke="dash",
        weight_bytes=2,
        runtimes=frozenset({DEFAULT_RUNTIME}),
    ),
    Precision.BF16: Facts(
        light="#117733",
        dark="#44aa99",
        symbol="triangle-up",
        stroke="dashdot",
        weight_bytes=4,
        runtimes=frozenset({OPENVINO}),
        file_of=Precision.FP32,
    ),
    Precision.INT8: Facts(
        light="#d55e00",
        dark="#d55e00",
        symbol="diamond",
        stroke="dot",
        weight_bytes=1,
        runtimes=frozenset({DEFAULT_RUNTIME, OPENVINO}),
    ),
    Precision.INT8_BF16: Facts(
        light="#882255",
        dark="#ddcc77",
        symbol="pentagon",
        stroke="longdashdot",
        weight_bytes=1,
        runtimes=frozenset({OPENVINO}),
        file_of=Precision.INT8,
        rest=Precision.BF16,
    ),
}
"""In the order of every list and legend, the most exact first."""


def facts_of(precision: str) -> Facts:
    """The row of a precision."""
    return PRECISIONS[precision]


def file_precision(precision: str) -> str:
    """The precision whose model file is executed: its own, or the one that it shares."""
    return facts_of(precision).file_of or precision


def sharing(precision: str) -> tuple[Precision, ...]:
    """The precisions that execute the same model file, this one among them."""
    file = file_precision(precision)
    return tuple(Precision(name) for name in PRECISIONS if file_precision(name) == file)


def uses_bf16(precision: str) -> bool:
    """Whether a processor needs bf16 instructions for it."""
    return Precision.BF16 in (precision, facts_of(precision).rest)


def bf16_missing(precision: str) -> str:
    """Why a processor without bf16 instructions does not execute a precision."""
    return (
        f"{precision} needs a processor with AVX512-BF16 or AMX, and this one has neither: choose "
        f"another precision."
    )


def precision_names() -> list[str]:
    """Every precision in order, as stored and as shown."""
    return [str(precision) for precision in PRECISIONS]


def any_precision() -> str:
    """`fp32, fp16 or int8`."""
    *names, last = precision_names()
    return f"{', '.join(names)} or {last}"


def in_order(
    precisions: Iterable[str] | None = None, runtimes: Iterable[str] = (DEFAULT_RUNTIME,)
) -> tuple[Precision, ...]:
    """These precisions as they were given; where none was, all that any of `runtimes` executes."""
    executed = (name for name, facts in PRECISIONS.items() if facts.runtimes & set(runtimes))
    return tuple(Precision(name) for name in precisions or executed)


def pairs() -> dict[str, tuple[str, str]]:
    """`int8 vs fp16` -> (fp16, int8) of every two, the lowest precisions first.

    Those with another arithmetic for the rest come last.
    """
    every = combinations(reversed(precision_names()), 2)
    ordered = sorted(every, key=lambda pair: any(facts_of(name).rest for name in pair))
    return {f"{second} vs {first}": (first, second) for second, first in ordered}

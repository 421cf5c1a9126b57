"""The document of `catalog_speed`: which rows are measured, and the table of all."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from db.enums import Precision, WeightsKind
from db.models import Benchmark
from db.session import reading
from engine.catalog.models import catalog
from engine.common.environment import observe_machine
from engine.common.ratios import SpeedRatio
from engine.results import results_frame
from engine.results.speeds import benchmark_ratio
from engine.runtimes.registry import label_of, name_in, versions, why_not
from engine.specs import DEFAULT_RUNTIME, WINDOW_S
from engine.specs.precisions import OPENVINO, facts_of

Cell = tuple[str, str]
"""(precision, runtime)."""

BATCHES = (1, 8)
REFERENCE: Cell = (Precision.FP32, DEFAULT_RUNTIME)
INT8_BAR, BF16_BAR = 2.5, 1.9
_FACTS = {"cpu": "processor", "isa": "instructions", "cores": "usable cores", "os": "system"}
_PACKAGES = ("torch", "timm", "onnx", "numpy")


def cells() -> list[Cell]:
    """What is measured of each network on this machine."""
    return [
        (str(precision), runtime)
        for precision in (Precision.FP32, Precision.BF16, Precision.INT8)
        for runtime in (DEFAULT_RUNTIME, OPENVINO)
        if runtime in facts_of(precision).runtimes and why_not(runtime, precision) is None
    ]


def measured_cells(model_id: str, batch: int, url: str) -> dict[Cell, dict[str, Any]]:
    """The newest measurement of each cell of a network, as rows of the results table."""
    return _cells_of(results_frame(url), model_id, batch)


def _cells_of(frame: pd.DataFrame, model_id: str, batch: int) -> dict[Cell, dict[str, Any]]:
    own = frame[(frame["model_id"] == model_id) & (frame["batch"] == batch)]
    own = own[(own["weights_kind"] == WeightsKind.RANDOM) & own["benchmark_id"].notna()]
    found: dict[Cell, dict[str, Any]] = {}
    for row in own.to_dict("records"):  # the newest first
        found.setdefault((row["precision"], name_in(row["runtime"])), row)
    return found


def is_complete(model_id: str, batch: int, url: str) -> bool:
    """Whether every cell is measured, in one session of today's windows, without interference."""
    found = measured_cells(model_id, batch, url)
    if any(cell not in found for cell in cells()):
        return False
    rows = [found[cell] for cell in cells()]
    sessions = _sessions(rows, url)
    one = len(sessions) == 1 and {window_s for _, window_s in sessions} == {WINDOW_S}
    return one and all(pd.isna(row["noise"]) for row in rows)


def _sessions(rows: Sequence[dict[str, Any]], url: str) -> set[tuple[str | None, float | None]]:
    """The sessions of some rows, each with the duration of its windows in s."""
    with reading(url) as session:
        found = [session.get_one(Benchmark, int(row["benchmark_id"])).protocol for row in rows]
        return {(one.get("session"), one.get("window_s")) for one in found}


def write_document(path: Path, models: Sequence[str], url: str) -> None:
    """Writes the table of all rows that are measured; names those that are not."""
    frame = results_frame(url)
    parts = [_heading(url)]
    for batch in BATCHES:
        found = {name: _cells_of(frame, name, batch) for name in models}
        measured = {name: own for name, own in found.items() if REFERENCE in own}
        if measured:
            parts.append(_section(batch, measured, url))
        absent = [name for name in models if name not in measured]
        if absent:
            names = f"Not measured at batch {batch}: {', '.join(absent)}."
            parts.append(textwrap.fill(names, 100, break_on_hyphens=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _heading(url: str) -> str:
    facts = observe_machine().facts
    machine = [
        (label, ", ".join(value) if isinstance(value := facts[name], list) else str(value))
        for name, label in _FACTS.items()
    ]
    memory = [("memory", f"{facts['memory_gb']} GiB")]
    used = {name: facts["packages"].get(name) for name in _PACKAGES}
    libraries = {**{label_of(name): version for name, version in versions().items()}, **used}
    lines = [*machine, *memory, ("Python", facts["python"]), *libraries.items()]
    table = tabulate(dict(lines).items(), headers=("", "machine and versions"), tablefmt="pipe")
    lacking = "; ".join(
        f"{precision} in {label_of(runtime)}"
        for precision in (Precision.FP32, Precision.BF16, Precision.INT8)
        for runtime in (DEFAULT_RUNTIME, OPENVINO)
        if (str(precision), runtime) not in cells()
    )
    flags = facts["isa"] or []
    without_amx = (
        ""
        if any(flag.startswith("amx") for flag in flags)
        else "This processor has no AMX, the matrix unit for bf16. "
    )
    text = (
        "Made by `python -m benchmarks.catalog_speed`, through the queue of the workbench. Random "
        "weights, int8 calibrated on 16 synthetic images. Each build runs in a process of its own; "
        "all builds of a row are measured in turn, round by round, in one session. Images/s with "
        "the 95 % interval between rounds; ratios to fp32 in ONNX Runtime with the interval that "
        f"is paired by round. Not executed here: {lacking}. {without_amx}* marks a measurement "
        "with other load on the machine, ~ one whose interval is wider than ± 5 %."
    )
    return f"# Speed of the catalog's SE networks on a CPU\n\n{textwrap.fill(text, 100)}\n\n{table}"


def _section(batch: int, measured: dict[str, dict[Cell, dict[str, Any]]], url: str) -> str:
    header = ["network", "GMACs", *(f"{p}, {label_of(r)}" for p, r in cells())]
    speeds, ratios = [], []
    best: dict[str, list[float]] = {Precision.BF16: [], Precision.INT8: []}
    for name, own in measured.items():
        gmacs = own[REFERENCE]["compute_gmacs"]
        network = [name, "–" if pd.isna(gmacs) else f"{gmacs:.2f}"]
        speeds.append([*network, *(_speed(own.get(cell)) for cell in cells())])
        compared = {
            cell: benchmark_ratio(
                int(own[REFERENCE]["benchmark_id"]), int(own[cell]["benchmark_id"]), url
            )
            for cell in cells()
            if cell in own and cell != REFERENCE
        }
        ratios.append([*network, *(_ratio(compared.get(cell)) for cell in cells())])
        for precision, found in best.items():
            of_precision = [one.ratio for cell, one in compared.items() if cell[0] == precision]
            found += [max(of_precision)] if of_precision else []
    bars = ((Precision.INT8, INT8_BAR), (Precision.BF16, BF16_BAR))
    reached = [
        f"{precision} in its best runtime: {sum(r >= bar for r in best[precision])} of "
        f"{len(best[precision])} rows at {bar} x or more ({min(best[precision]):.2f} to "
        f"{max(best[precision]):.2f} x)"
        for precision, bar in bars
        if best[precision]
    ]
    return "\n\n".join(
        [
            f"## Batch {batch}",
            f"{len(measured)} of {len(catalog())} networks. {'; '.join(reached)}.",
            "Images/s:",
            tabulate(speeds, headers=header, tablefmt="pipe", disable_numparse=True),
            "Ratio to fp32 in ONNX Runtime:",
            tabulate(ratios, headers=header, tablefmt="pipe", disable_numparse=True),
        ]
    )


def _speed(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    marks = ("" if pd.isna(row["noise"]) else "*") + ("" if row["stable"] else "~")
    low, high = row["images_per_s_low"], row["images_per_s_high"]
    interval = "" if pd.isna(low) else f" ({low:.1f} to {high:.1f})"
    return f"{row['images_per_s']:.1f}{marks}{interval}"


def _ratio(ratio: SpeedRatio | None) -> str:
    if ratio is None:
        return "–"
    interval = "" if ratio.low is None else f" ({ratio.low:.2f} to {ratio.high:.2f})"
    return f"{ratio.ratio:.2f}{interval}"

"""Chooses how many groups become one, for each shape of a build, and merges them.

Times are measured where the build is for this machine, and kept in the home by processor and
version of ONNX Runtime, so that the next build of the same shapes measures nothing and gets the
same file. For another machine the target has a width that its groups are merged to, or none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from onnx import ModelProto

from engine.build.int8.merged_groups.layers import (
    ConvolutionShape,
    find_grouped_convolutions,
    merge_groups,
)
from engine.build.int8.merged_groups.timing import measure_factors
from engine.build.int8.targets import Activations, Target, resolve
from engine.common import environment
from engine.common.digests import data_digest
from engine.common.files import write_text
from engine.config import settings
from engine.onnx.graph_view import GraphView
from engine.specs import TargetName
from engine.store.int8_report import GroupedShape, MergedGroups

TIMING_VERSION = "1"
"""Raised when the same kernel would be timed differently."""
WORTH_IT = 0.97
"""A larger factor must take at most this share of the time of a smaller one: its file is larger."""


def merge_grouped_convolutions(
    model: ModelProto,
    view: GraphView,
    target: Target,
    log: Callable[[str], None],
) -> MergedGroups | None:
    """Merges the groups of an int8 model in place; None where it has none to merge.

    `view` is of its float graph. Scores stay equal to the bit.
    """
    if not target.merges_groups:
        return None
    layers = find_grouped_convolutions(model, view, even_only=target.adds_pairs_in_16_bits)
    if not layers:
        return None
    times = GroupTimes(target) if _is_this_machine(target) else None
    if times is not None:
        log("Timing grouped convolutions.")
    shapes = []
    for shape in dict.fromkeys(layers.values()):
        ms = times.of(shape) if times is not None else {}
        factor = fastest_factor(ms) if ms else default_factor(shape, target.usual_group_inputs)
        names = [name for name, found in layers.items() if found == shape]
        by_factor = {str(factor): round(value, 4) for factor, value in ms.items()}
        shapes.append(
            GroupedShape(shape=str(shape), layers=names, factor=factor, ms_by_factor=by_factor)
        )
    added = merge_groups(model, {name: one.factor for one in shapes for name in one.layers})
    merged = MergedGroups(shapes=shapes, source=_source(times, target), added_bytes=added)
    log(merged.sentence())
    return merged


def fastest_factor(ms: dict[int, float]) -> int:
    """The factor with the shortest time; of nearly equal ones the smallest."""
    best = min(ms)
    for factor in sorted(ms):
        if ms[factor] < ms[best] * WORTH_IT:
            best = factor
    return best


def default_factor(shape: ConvolutionShape, group_inputs: int | None) -> int:
    """The factor that widens a group to `group_inputs` channels at most; 1 for None."""
    return shape.factors(group_inputs)[-1] if group_inputs else 1


@dataclass(slots=True)
class GroupTimes:
    """The times of this machine, from the home where they are there, else measured."""

    target: Target
    kernels: dict[str, object] = field(default_factory=lambda: kernel_facts())

    def of(self, shape: ConvolutionShape) -> dict[int, float]:
        """ms by factor; measured once for a processor and a version of ONNX Runtime."""
        signed = self.target.activations != Activations.UNSIGNED
        key = json.dumps([asdict(shape), signed], sort_keys=True)
        known = self._read()
        if key not in known:
            known = self._read() | {key: measure_factors(shape, signed)}
            content = {**self.kernels, "version": TIMING_VERSION, "ms_by_factor": known}
            write_text(self._path(), json.dumps(content, indent=1))
        return known[key]

    def _path(self) -> Path:
        kernels = data_digest({**self.kernels, "version": TIMING_VERSION})
        return settings().folder("cache") / "kernel_times" / f"{kernels[:16]}.json"

    def _read(self) -> dict[str, dict[int, float]]:
        """What is known; a damaged file is measured again."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            stored = json.loads(self._path().read_text())["ms_by_factor"]
            return {
                key: {int(factor): float(ms) for factor, ms in times.items()}
                for key, times in stored.items()
                if times
            }
        return {}


def kernel_facts() -> dict[str, object]:
    """What decides which kernels run here and how fast they are against each other."""
    facts = environment.observe_machine().facts
    return {
        "cpu": facts["cpu"],
        "isa": facts["isa"],
        "machine": facts["machine"],
        "onnxruntime": facts["packages"].get("onnxruntime"),
    }


def _is_this_machine(target: Target) -> bool:
    return resolve(TargetName.AUTO, environment.instruction_sets()).name == target.name


def _source(times: GroupTimes | None, target: Target) -> str:
    if times is not None:
        return f"measured on {times.kernels['cpu']}, onnxruntime {times.kernels['onnxruntime']}"
    width = target.usual_group_inputs
    usual = f"groups of up to {width} channels" if width else "groups as they are"
    return f"not measured, {target.name} is not this machine: {usual}"

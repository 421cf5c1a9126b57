"""Builds and speeds of the quantization benchmark, each measured in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.build.int8.layer_reports import load_layer_report

CASE = Path(__file__).with_name("quantization_case.py")
TURN_S = 1.5


@dataclass(frozen=True, slots=True)
class BuildCost:
    """What a build cost: elapsed and processor seconds, peak memory, and processor s by stage."""

    seconds: float
    processor_seconds: float
    peak_mb: float
    stages: dict[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The columns of a table."""
        stages = ", ".join(f"{name} {spent:.1f}" for name, spent in self.stages.items())
        return {
            "build s": self.seconds,
            "processor s": self.processor_seconds,
            "peak MB": self.peak_mb,
            "processor s by stage": stages or None,
        }


def run_case(python: str = sys.executable, **case: Any) -> dict[str, Any]:
    """The result of a case, run by an interpreter; raises CalledProcessError with its output."""
    own = ["-m", "benchmarks.quantization_case"] if python == sys.executable else [str(CASE)]
    answer = subprocess.run(
        [python, *own, json.dumps(case)], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def cost_of(found: Mapping[str, Any], reading_s: float = 0.0) -> BuildCost:
    """The cost of a build from the result of its case; a peer's images took `reading_s` more.

    A build that was there already has no cost of its own: the time is that of finding it.
    """
    stages: dict[str, float] = {}
    if "artifact" in found:
        report = load_layer_report(found["artifact"])
        stages = {s.stage: s.processor_seconds for s in report.stages} if report else {}
    elif reading_s:
        stages = {"Reading images": reading_s, "the rest": found["processor_seconds"]}
    return BuildCost(
        found["seconds"] + reading_s,
        found["processor_seconds"] + reading_s,
        found["peak_mb"],
        stages,
    )


def fresh_rates(
    files: Mapping[str, Path], batch: int, rounds: int, threads: int
) -> dict[str, list[float]]:
    """Images per second by file and round; each in a process of its own, files alternate."""
    found: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(rounds):
        for name, path in files.items():
            case = run_case(
                kind="rate", model=str(path), batch=batch, threads=threads, seconds=TURN_S
            )
            found[name].append(case["rate"])
    return found


def speed_up(found: Mapping[str, list[float]], name: str, reference: str) -> float:
    """The median over rounds of the ratio of two files in the same round."""
    pairs = zip(found[name], found[reference], strict=True)
    return statistics.median(a / b for a, b in pairs)


def home() -> str:
    """The folder of the workbench that the processes share."""
    return os.environ["SENET_HOME"]

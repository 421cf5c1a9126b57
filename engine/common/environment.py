"""Facts of the machine and its software that can change a measurement."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from db.models import Environment
from db.session import writing
from engine.common.digests import data_digest
from engine.config import usable_cores

PACKAGES = ("onnxruntime", "torch", "timm", "onnx", "numpy", "pillow", "opencv-python-headless")
OUTPUT_PACKAGES = ("numpy", "pillow", "opencv-python-headless")
"""Packages that decide, with the runtime, what a build computes from an image."""
FP16_FLAGS = ("avx512_fp16", "fphp", "asimdhp")
BF16_FLAGS = ("avx512_bf16", "amx_bf16")
ISA_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp")


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """`facts` define the digest; `load_1min` is the current load and is not part of it."""

    facts: dict[str, Any]
    load_1min: float

    @property
    def digest(self) -> str:
        """Speeds are comparable only between equal digests."""
        return data_digest(self.facts)

    @property
    def label(self) -> str:
        """Short, for charts: processor, cores, runtime."""
        facts = self.facts
        runtime = facts["packages"].get("onnxruntime", "?")
        return f"{facts['cpu']}, {facts['cores']} cores, onnxruntime {runtime}"


def observe_machine() -> MachineFacts:
    """Reads the facts of this machine now."""
    facts = {
        "cpu": _cpu_name(),
        "isa": instruction_sets(),
        "cores": usable_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "host": platform.node(),
        "gpu": _gpu(),
        "packages": library_versions(),
    }
    return MachineFacts(facts, os.getloadavg()[0])


def kernel_class(
    facts: dict[str, Any], *, runtime: str, threads: int, gpu: bool = False
) -> dict[str, Any]:
    """What decides the outputs of a build on a machine; its name and its speed do not.

    `facts`: of the machine; `runtime`: name and version; `threads`: those that compute a batch;
    `gpu`: whether it runs there.
    """
    packages = facts["packages"]
    kernels = {
        "machine": facts["machine"],
        "isa": facts["isa"],
        "packages": {name: packages[name] for name in OUTPUT_PACKAGES if name in packages},
        "runtime": runtime,
        "threads": threads,
    }
    return kernels | ({"gpu": facts["gpu"]} if gpu else {})


def record(surroundings: MachineFacts, url: str) -> str:
    """Stores the environment if it is new; returns its digest."""
    with writing(url) as session:
        session.merge(
            Environment(
                digest=surroundings.digest, label=surroundings.label, facts=surroundings.facts
            )
        )
    return surroundings.digest


def library_versions() -> dict[str, str]:
    """Versions of the packages that influence results, read without importing them."""
    return {name: found for name in PACKAGES if (found := _version(name))}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def instruction_sets() -> list[str]:
    """Instruction sets of this processor that decide which integer kernels run."""
    return _flags_among(ISA_FLAGS)


def fp16_instructions() -> list[str]:
    """Instruction sets of this processor that compute in fp16."""
    return _flags_among(FP16_FLAGS)


def bf16_instructions() -> list[str]:
    """Instruction sets of this processor that compute in bf16."""
    return _flags_among(BF16_FLAGS)


def _flags_among(names: Iterable[str]) -> list[str]:
    present = _processor_flags()
    return [name for name in names if name in present]


def _processor_flags() -> set[str]:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def _gpu() -> str | None:
    names = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    for path in names:
        for line in (_read(str(path)) or "").splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def peak_rss_mb() -> float:
    """Peak resident memory of this process and its ended children, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in whose) * unit / 1e6

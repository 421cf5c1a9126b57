"""Other tools on the same model and the same calibration images, each in a process of its own.

They are run by the interpreter `--peer-python`, so that they need not be installed beside the
workbench.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quantization import say
from benchmarks.quantization_processes import BuildCost, cost_of, run_case
from benchmarks.quantization_setup import Bench, Model
from engine.datasets.sampling import sample_by_class


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool: its module, and the case that builds with it."""

    module: str
    case: dict[str, Any]


PEERS = {
    "quantize_static, int8 max": Peer("onnxruntime", {"kind": "static"}),
    "NNCF mixed": Peer("nncf", {"kind": "nncf", "accurate": False}),
    "NNCF accurate bias correction": Peer("nncf", {"kind": "nncf", "accurate": True}),
}


def peer_builds(
    bench: Bench, model: Model, fp32: Path, dataset: str, images: int, seed: int = 0
) -> Iterator[tuple[str, Path, BuildCost]]:
    """(name, file, cost) of each tool's build on the same draw of images as ours."""
    wanted = {name: peer for name, peer in PEERS.items() if peer.module in bench.options.peers}
    python = bench.options.peer_python
    for module in sorted({peer.module for peer in wanted.values()}):
        if subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode:
            say(f"{module} is not installed for {python} and is skipped.")
            wanted = {name: peer for name, peer in wanted.items() if peer.module != module}
    if not wanted:
        return
    stored, reading_s = _store_images(bench, model, dataset, images, seed)
    for name, peer in wanted.items():
        stem = f"{name} {model.name} {dataset} {seed}".replace("/", "-").replace(" ", "-")
        path = bench.folder / f"{stem}.onnx"
        try:
            found = run_case(
                python, model=str(fp32), images=str(stored), output=str(path), **peer.case
            )
        except subprocess.CalledProcessError:
            say(f"{name} failed on {model.name}.")
            continue
        yield name, path, cost_of(found, reading_s)
    stored.unlink()


def _store_images(
    bench: Bench, model: Model, dataset: str, images: int, seed: int
) -> tuple[Path, float]:
    """The preprocessed calibration images in one file, and the processor time to read them."""
    index = bench.index(dataset)
    selected = sample_by_class(index.labels, images, seed)
    started = time.process_time()
    pixels = np.concatenate(list(bench.batches(model, dataset, selected)))
    reading_s = time.process_time() - started
    path = bench.folder / "peer images.npy"
    np.save(path, pixels)
    return path, reading_s

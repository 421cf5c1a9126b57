"""What each step of the int8 build is worth: top-1 with one step switched off at a time.

    python -m benchmarks.int8_ablation REAL_DATA --peer-python PYTHON
    python -m benchmarks.int8_ablation REAL_DATA --parts steps

REAL_DATA is the folder of photographs and weights that SENET_REAL_DATA names. Each row is built
twice: calibrated on one half of the photographs and evaluated on the other, then the halves are
swapped, so that every photograph is evaluated once, by a build that did not use it, in ONNX Runtime
and in OpenVINO. All rows are of one run, and differences are paired, with 95 % intervals. Parts:

steps  the default, then each step of docs/algorithms.md switched off
draws  fast and accurate bias correction with several draws of the calibration images, and the mean
       difference by draw with its standard error: the spread that is no difference
paths  every target, and every opset that ONNX Runtime and OpenVINO read
peers  NNCF with fast and with accurate bias correction and quantize_static on the same draws, where
       --peer-python has them
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
from onnx import ModelProto

from benchmarks.quantization import Table, say, show

PARTS = ("steps", "draws", "paths", "peers")
RUNTIMES = ("onnxruntime", "openvino")
INT8 = "engine.build.int8"
DEFAULT = "default"
ACCURATE = "bias_correction accurate"
PEER_DRAWS = 5
OPSETS = tuple(range(19, 27))
TARGETS = ("x86", "arm", "tensorrt")
SAMPLE, ANALYSIS = 64, 16


@dataclass(frozen=True, slots=True)
class Variant:
    """A build: what differs from the default. `patches`: what stands for a function or constant."""

    name: str
    part: str = "steps"
    patches: dict[str, Any] = field(default_factory=dict)
    method: str = "mse"
    float_share: float = 0.1
    accurate: bool = False
    seed: int = 0
    target: str = "x86-vnni"
    opset: int | None = None


def _not_equalized(model: ModelProto, statistics: Any, excluded: frozenset[str]) -> Any:
    from engine.build.int8.equalization.cross_layer import EqualizationResult

    return EqualizationResult({}, dict(statistics))


def _no_shift(node: Any, weights: np.ndarray, means: np.ndarray) -> np.ndarray:
    return np.zeros(len(weights))


NO_EQUALIZATION = {f"{INT8}.pipeline.equalize": _not_equalized}
NO_BIAS_CORRECTION = {
    f"{INT8}.qdq.writer.mean_output": _no_shift,
    f"{INT8}.mixed_precision.sensitivity.mean_output": _no_shift,
}
FIRST = (Variant(DEFAULT), Variant(ACCURATE, accurate=True))
STEPS = (
    Variant(
        "squeeze as ReduceMean", patches={f"{INT8}.pipeline.squeeze_to_global_pool": lambda m: 0}
    ),
    Variant(
        "HardSwish gates in float",
        patches={f"{INT8}.pipeline.hard_gates_to_convolutions": lambda m, excluded: 0},
    ),
    Variant("no equalization", patches=NO_EQUALIZATION),
    Variant("calibration_mode max", method="max"),
    Variant("calibration_mode percentile", method="percentile"),
    Variant("calibration_mode kl_divergence", method="kl_divergence"),
    Variant(
        "HardSwish ranges by their input",
        patches={f"{INT8}.pipeline.create_hard_swish_samples": lambda names, view: {}},
    ),
    Variant(
        "weight scale from the largest weight",
        patches={f"{INT8}.qdq.weights.SCALE_FRACTIONS": np.ones(1)},
    ),
    Variant("no bias correction", patches=NO_BIAS_CORRECTION),
    Variant("float_share 0", float_share=0.0),
    Variant("float_share 0, bias_correction accurate", float_share=0.0, accurate=True),
    Variant(
        "no equalization, float_share 0",
        patches=NO_EQUALIZATION,
        float_share=0.0,
    ),
    Variant(
        "no equalization, float_share 0, bias_correction accurate",
        patches=NO_EQUALIZATION,
        float_share=0.0,
        accurate=True,
    ),
    Variant(
        "no step: max, no equalization, no correction, all in int8",
        patches=NO_EQUALIZATION | NO_BIAS_CORRECTION,
        method="max",
        float_share=0.0,
    ),
)


def variants_of(parts: list[str], draws: int) -> Iterator[Variant]:
    """The builds of the wanted parts, after those that all others are compared with."""
    yield from FIRST
    if "draws" in parts:
        for seed in range(1, draws):
            yield Variant(f"draw {seed}", "draws", seed=seed)
            yield Variant(f"draw {seed}, accurate", "draws", seed=seed, accurate=True)
    if "steps" in parts:
        yield from STEPS
    if "paths" in parts:
        for target in TARGETS:
            yield Variant(f"target {target}", "paths", target=target)
        for opset in OPSETS:
            yield Variant(f"opset {opset}", "paths", opset=opset)


class Ablation:
    """The two halves of the photographs as arrays, and builds of one network on them."""

    def __init__(self, bench: Any, model: Any) -> None:
        from engine.build.int8.statistics.cache import StatisticsCache
        from engine.runtimes.optimizer import optimized
        from engine.store import artifacts

        self.bench, self.model, self.folder = bench, model, bench.folder
        self.fp32 = artifacts.model_path(bench.build(model, "fp32", "half-0").digest)
        self.source = optimized(artifacts.model_path(bench.export(model).digest), bench.folder)
        names = [f"half-{half}" for half in range(2)]
        self.labels = [bench.index(name).labels for name in names]
        self.images = [
            np.concatenate(list(bench.batches(model, name, np.arange(len(labels)))))
            for name, labels in zip(names, self.labels, strict=True)
        ]
        self.caches: dict[tuple[int, int], StatisticsCache] = {}
        self.known: dict[tuple[object, ...], np.ndarray] = {}

    def build(self, variant: Variant, half: int) -> Path:
        """The file of a build that is calibrated on one half."""
        from engine.build.int8.mixed_precision import mixed_precision
        from engine.build.int8.pipeline import Calibration
        from engine.build.int8.statistics.cache import StatisticsCache
        from engine.build.int8.targets import get_target
        from engine.datasets.sampling import sample_by_class
        from engine.specs import TargetName

        count = self.bench.options.calibration_images
        selected = sample_by_class(self.labels[half], count, variant.seed)
        order = np.random.default_rng(variant.seed).permutation(selected)
        pixels = self.images[half][order]
        calibration = Calibration(
            images=lambda: (pixels[start : start + 16] for start in range(0, len(pixels), 16)),
            method=variant.method,
            percentile=99.999,
            threads=self.bench.threads,
            progress=lambda stage, share: None,
            image_count=len(pixels),
            statistics_cache=self.caches.setdefault((half, variant.seed), StatisticsCache()),
            bias_images=pixels[:SAMPLE] if variant.accurate else None,
        )
        request = mixed_precision.MixedPrecisionRequest(
            source=self.source_at(variant.opset),
            calibration=calibration,
            target=get_target(TargetName(variant.target)),
            required_float=frozenset(),
            float_share=variant.float_share,
            analysis_images=pixels[:ANALYSIS],
            log=lambda text: None,
            progress=lambda *_: None,
        )
        with ExitStack() as stack:
            for name, replacement in variant.patches.items():
                stack.enter_context(patch(name, replacement))
            built = mixed_precision.build_default(request)
        path = Path(self.folder) / "variant.onnx"
        onnx.save(built.model, path)
        return path

    def source_at(self, opset: int | None) -> ModelProto:
        """The network, converted to a newer opset."""
        if opset is None:
            return self.source
        return onnx.version_converter.convert_version(self.source, opset)

    def correct(self, path: Path, half: int, runtime: str, precision: str) -> np.ndarray:
        """(n,) booleans: the images of the other half that a build gets right.

        A file that was evaluated before, as a step that changes nothing gives it, is not run again.
        """
        key = sha256(path.read_bytes()).hexdigest(), half, runtime, precision
        if key not in self.known:
            self.known[key] = self._evaluated(path, half, runtime, precision)
        return self.known[key]

    def _evaluated(self, path: Path, half: int, runtime: str, precision: str) -> np.ndarray:
        from engine.runtimes.base import LoadOptions
        from engine.runtimes.registry import load
        from engine.specs import CPU_PROVIDER

        images, labels = self.images[1 - half], self.labels[1 - half]
        options = LoadOptions(threads=self.bench.threads)
        with load(runtime, path, precision, CPU_PROVIDER, options) as session:
            parts = [session.run(images[start : start + 20]) for start in range(0, len(images), 20)]
        best = np.concatenate(parts).argmax(axis=1)
        offset = int(np.concatenate(parts).shape[1] == 1001)
        return np.asarray(best - offset == labels)


Counted = dict[str, tuple[str, dict[str, np.ndarray]]]
"""Build -> (part, {runtime: (n,) booleans of the images that it gets right})."""


def rows_of(ablation: Ablation, parts: list[str], draws: int) -> Table:
    """One row per build, with its count in each runtime and its differences to others."""
    counted: Counted = {}
    counted["fp32"] = ("steps", _both_halves(ablation, lambda half: ablation.fp32, "fp32"))
    for variant in variants_of(parts, draws):
        try:
            found = _both_halves(ablation, lambda half, v=variant: ablation.build(v, half), "int8")
        except Exception as error:  # a path that cannot be built is a row, too
            say(f"{variant.name}: {type(error).__name__}: {str(error)[:300]}")
            continue
        counted[variant.name] = (variant.part, found)
        say(json.dumps(_row(variant.name, counted)))
        if variant.name == ACCURATE and "peers" in parts:
            for name, right in _peers(ablation, min(draws, PEER_DRAWS)):
                counted[name] = ("peers", right)
                say(json.dumps(_row(name, counted)))
    rows = [_row(name, counted) for name in counted]
    return rows + [row for pair in _PAIRS for row in _by_draw(*pair, counted, draws)]


def _both_halves(ablation: Ablation, file_of: Any, precision: str) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {name: [] for name in RUNTIMES}
    for half in range(2):
        path = file_of(half)
        for runtime in RUNTIMES:
            parts[runtime].append(ablation.correct(path, half, runtime, precision))
    return {runtime: np.concatenate(found) for runtime, found in parts.items()}


def _peers(ablation: Ablation, draws: int) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(name, right answers) of each tool, by draw of the calibration images."""
    from benchmarks.quantization_peers import peer_builds

    bench, count = ablation.bench, ablation.bench.options.calibration_images
    for seed in range(draws):
        files: dict[str, dict[int, Path]] = {}
        for half in range(2):
            dataset = f"half-{half}"
            built = peer_builds(bench, ablation.model, ablation.fp32, dataset, count, seed)
            for name, path, _ in built:
                files.setdefault(name, {})[half] = path
        for name, paths in files.items():
            if len(paths) == 2:
                yield _of_draw(name, seed), _both_halves(ablation, paths.__getitem__, "int8")


def _of_draw(name: str, seed: int) -> str:
    if name in (DEFAULT, ACCURATE):
        accurate = ", accurate" * (name == ACCURATE)
        return name if seed == 0 else f"draw {seed}{accurate}"
    return name if seed == 0 else f"{name}, draw {seed}"


def _row(name: str, counted: Counted) -> dict[str, Any]:
    from engine.common.stats import paired_difference

    part, found = counted[name]
    row: dict[str, Any] = {"part": part, "build": name}
    for runtime in RUNTIMES:
        correct = found[runtime]
        row[runtime] = int(correct.sum())
        for reference in ("fp32", DEFAULT, ACCURATE):
            if reference not in counted:
                continue
            change = paired_difference(counted[reference][1][runtime], correct)
            row[f"{runtime} - {reference} (pp)"] = (
                f"{100 * change.difference:+.1f} ({100 * change.low:+.1f} to "
                f"{100 * change.high:+.1f})"
            )
    return row


_PAIRS = (
    (ACCURATE, DEFAULT),
    (ACCURATE, "NNCF accurate bias correction"),
    (DEFAULT, "NNCF mixed"),
)


def _by_draw(name: str, reference: str, counted: Counted, draws: int) -> Table:
    """The mean difference of two builds over the draws that both have, in images."""
    names = [(_of_draw(name, seed), _of_draw(reference, seed)) for seed in range(draws)]
    names = [pair for pair in names if all(each in counted for each in pair)]
    if len(names) < 2:
        return []
    row: dict[str, Any] = {"part": "draws", "build": f"{name} - {reference}, {len(names)} draws"}
    for runtime in RUNTIMES:
        sums = [[int(counted[each][1][runtime].sum()) for each in pair] for pair in names]
        changes = np.array([first - second for first, second in sums], float)
        error = changes.std(ddof=1) / np.sqrt(len(changes))
        row[runtime] = f"{changes.mean():+.1f} images (standard error {error:.1f})"
    return [row]


def main() -> None:
    """Builds and evaluates all rows; prints a table and a JSON document."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.int8_ablation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("real_data", type=Path, help="folder of photographs and weights")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add("--images", type=Path, help="labeled images; default: REAL_DATA/imagenet_1000")
    add(
        "--model", action="append", metavar="ID=FILE", help="default: the SE network and SqueezeNet"
    )
    add("--draws", type=int, default=5, help="draws of the calibration images")
    add("--calibration-images", type=int, default=300)
    add("--peer-python", default=sys.executable, help="interpreter that runs the peers")
    add("--home", type=Path, help="reuse exports and builds in this folder")
    options = parser.parse_args()
    options.peers, options.speed_models = ("nncf", "onnxruntime"), []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SENET_HOME"] = str(options.home or folder)
        os.environ.setdefault("SENET_HOST_LOCK", str(Path(folder) / "host.lock"))
        from benchmarks.quantization_setup import Bench

        bench = Bench(options, Path(folder))
        bench.halves  # noqa: B018 - registers them
        report = {}
        for model in bench.models:
            table = rows_of(Ablation(bench, model), options.parts, options.draws)
            report[model.name] = table
            show(model.name, table)
    print(json.dumps(report))


if __name__ == "__main__":
    main()

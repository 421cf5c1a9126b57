"""What merged groups bring: int8 with groups as they are and merged, against fp32, by catalog row.

    python -m benchmarks.merged_groups FOLDER [--model timm/seresnext50_32x4d ...] [--rounds 3]

Every grouped row of the catalog is exported with random weights and built in fp32 and int8 (16
images) in the home FOLDER, which another run continues. The int8 file with its groups as they are
is made of the build by taking the diagonal blocks out again; all that is left out must be zero, and
its scores must be equal to the bit. Each measurement is a process of its own; in every round the
files take turns. A ratio is the median over the rounds of neighbors in time:

* wall: images/s with all threads;
* CPU: CPU time of an image on one thread, which other programs of the machine hardly change.
  `--cpu-only` measures nothing else: on a machine that is not quiet, wall times mean nothing.

`--runtime onnxruntime openvino` runs the same files in OpenVINO too, if it is installed, with fp32
pinned to f32. The output is one table in Markdown on stdout; progress is on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from engine.onnx.graph_view import group_count
from engine.onnx.merged_groups import merged_factor

GROUPED = ("seresnext", "senet154")
"""Parts of the names of the catalog's grouped networks."""
ONNX_RUNTIME, OPENVINO = "onnxruntime", "openvino"
FILES = ("fp32", "as is", "merged")
TARGET = 2.2
WARM_UP, FEWEST = 1, 3


@dataclass(frozen=True, slots=True)
class Files:
    """The model files of one row, and the bytes that merging adds."""

    model: str
    paths: dict[str, Path]
    added_bytes: int
    merged: str


def main() -> None:
    """Builds, measures and prints the table; with --measure, the child process of one file."""
    options = _options()
    if options.measure:
        print(json.dumps(measure(options)))
        return
    os.environ["SENET_HOME"] = str(options.folder.resolve())
    rows = []
    for model in options.model or grouped_models():
        files = build(model, options)
        found = measured(files, options)
        for batch in options.batch:
            rows.append(row(files, batch, found))
            print(rows[-1], file=sys.stderr, flush=True)
    print(markdown(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="Home of the builds.")
    parser.add_argument("--model", nargs="+", default=[])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--runtime", nargs="+", choices=(ONNX_RUNTIME, OPENVINO), default=[ONNX_RUNTIME]
    )
    parser.add_argument("--seconds", type=float, default=1.5, help="Of each measurement.")
    parser.add_argument("--cpu-only", action="store_true")
    parser.add_argument("--images", type=Path, default=None, help="Folder of calibration images.")
    parser.add_argument("--measure", choices=(ONNX_RUNTIME, OPENVINO), help=argparse.SUPPRESS)
    return parser.parse_args()


def grouped_models() -> list[str]:
    """Ids of the catalog's rows with grouped convolutions."""
    from engine.catalog.models import catalog

    return [model.id for model in catalog().values() if any(part in model.name for part in GROUPED)]


def build(model: str, options: argparse.Namespace) -> Files:
    """The fp32 build, the int8 build, and the int8 build with its groups split again."""
    from benchmarks.quantization_setup import Bench, Model
    from benchmarks.quantization_speed import register_calibration_set
    from engine.store import artifacts
    from engine.store.manifest import BuildManifest

    setup = argparse.Namespace(
        model=[],
        speed_models=[model],
        images=options.images,
        real_data=Path(os.environ.get("SENET_REAL_DATA", "/nonexistent")),
        calibration_images=16,
    )
    work = options.folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    bench = Bench(setup, work)
    register_calibration_set(bench)
    network: Model = bench.speed_models[0]
    fp32 = bench.build(network, "fp32", "drawn")
    int8 = bench.build(network, "int8", "drawn", mode="max")  # ranges do not change the time
    facts = BuildManifest.from_artifact(int8).build.quantization
    merged = facts.merged_groups if facts is not None else None
    if merged is None:
        raise SystemExit(f"{model} has no grouped convolutions")
    paths = {"fp32": artifacts.model_path(fp32.digest), "merged": artifacts.model_path(int8.digest)}
    paths["as is"] = work / f"{model.replace('/', '-')}-as-is.onnx"
    onnx.save(split_groups(onnx.load(paths["merged"])), paths["as is"])
    require_equal(paths["as is"], paths["merged"])
    factors = {one.shape: one.factor for one in merged.shapes}
    return Files(model, paths, merged.added_bytes, ", ".join(map(str, factors.values())))


def split_groups(model: ModelProto) -> ModelProto:
    """A merged int8 model with the groups of its network; what is cut off must be zero."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {node.output[0]: node for node in model.graph.node}
    for node in model.graph.node:
        factor = merged_factor(node)
        if factor == 1:
            continue
        tensor = constants[producers[node.input[1]].input[0]]
        wide = numpy_helper.to_array(tensor)
        groups = factor * group_count(node)
        inputs, outputs = wide.shape[1] // factor, wide.shape[0] // groups
        narrow = np.stack(
            [
                weights[(number // outputs % factor) * inputs :][:inputs]
                for number, weights in enumerate(wide)
            ]
        )
        if np.count_nonzero(narrow) != np.count_nonzero(wide):
            raise SystemExit(f"{node.name} has weights outside its groups")
        tensor.CopyFrom(numpy_helper.from_array(narrow, tensor.name))
        next(a for a in node.attribute if a.name == "group").i = groups
        del node.metadata_props[:]
    return model


def require_equal(first: Path, second: Path) -> None:
    """Stops where two files do not give scores that are equal to the bit."""
    images = _images(first, 2)
    ours, theirs = (_request(ONNX_RUNTIME, path, 2)(images) for path in (first, second))
    if not np.array_equal(ours, theirs):
        raise SystemExit(f"the scores of {first.name} and {second} differ")


def measured(files: Files, options: argparse.Namespace) -> dict[tuple[str, str], list[Any]]:
    """(runtime, file) -> what a process of its own measured, by round."""
    found: dict[tuple[str, str], list[Any]] = {(r, f): [] for r in options.runtime for f in FILES}
    for number in range(options.rounds):
        for runtime, name in found:
            command = [sys.executable, "-m", "benchmarks.merged_groups", str(files.paths[name])]
            command += ["--measure", runtime, "--seconds", str(options.seconds)]
            command += ["--batch", *map(str, options.batch)]
            command += ["--cpu-only"] if options.cpu_only else []
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[runtime, name].append(json.loads(output))
        print(f"{files.model}: round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return found


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Batch -> images/s with all threads (median request), and CPU ms an image on one thread."""
    from engine.config import settings

    found: dict[str, dict[str, float]] = {str(batch): {} for batch in options.batch}
    clocks = [("CPU ms", 1, time.process_time)]
    if not options.cpu_only:
        clocks.append(("images/s", settings().threads, time.perf_counter))
    for figure, threads, clock in clocks:
        run = _request(options.measure, options.folder, threads)
        for batch in options.batch:
            taken = _median_s(run, _images(options.folder, batch), clock, options.seconds)
            in_unit = 1e3 * taken / batch if figure == "CPU ms" else batch / taken
            found[str(batch)][figure] = in_unit
    return found


def _median_s(
    run: Callable[[np.ndarray], Any],
    images: np.ndarray,
    clock: Callable[[], float],
    seconds: float,
) -> float:
    for _ in range(WARM_UP):
        run(images)
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while len(taken) < FEWEST or time.perf_counter() < until:
        started = clock()
        run(images)
        taken.append(clock() - started)
    return statistics.median(taken)


def _request(runtime: str, path: Path, threads: int) -> Callable[[np.ndarray], Any]:
    if runtime == ONNX_RUNTIME:
        from engine.runtimes.onnxruntime import OnnxSession

        return OnnxSession(path, "CPUExecutionProvider", threads).run
    import openvino

    hints = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(str(path), "CPU", hints).create_infer_request()
    return lambda images: request.infer([images])


def _images(path: Path, batch: int) -> np.ndarray:
    side = onnx.load(path, load_external_data=False).graph.input[0].type.tensor_type.shape.dim[2]
    size = (batch, 3, side.dim_value, side.dim_value)
    return np.random.default_rng(0).normal(size=size).astype(np.float32)


def row(files: Files, batch: int, found: dict[tuple[str, str], list[Any]]) -> dict[str, str]:
    """One line of the table."""

    def ratio(runtime: str, name: str, figure: str) -> float:
        pairs = zip(found[runtime, "fp32"], found[runtime, name], strict=True)
        values = [new[str(batch)][figure] / old[str(batch)][figure] for old, new in pairs]
        return statistics.median(values) if figure == "images/s" else 1 / statistics.median(values)

    runtimes = list(dict.fromkeys(runtime for runtime, _ in found))
    first = found[runtimes[0], "merged"]
    figures = {"wall": "images/s", "CPU": "CPU ms"}
    kinds = [kind for kind, figure in figures.items() if figure in first[0][str(batch)]]
    ratios = {
        f"{runtime}, {kind}: {name}": ratio(runtime, name, figures[kind])
        for runtime in runtimes
        for kind in kinds
        for name in FILES[1:]
    }
    met = min(ratios[f"{runtimes[0]}, {kind}: merged"] for kind in kinds) >= TARGET
    size = files.paths["merged"].stat().st_size / 1e6
    absolute = {
        f"{figure}, merged": statistics.median(one[str(batch)][figure] for one in first)
        for figure in (figures[kind] for kind in kinds)
    }
    return {
        "model": files.model,
        "batch": str(batch),
        "groups merged": files.merged,
        "file (MB)": f"{size:.1f} (+{files.added_bytes / 1e6:.1f})",
        **{name: f"{value:.1f}" for name, value in absolute.items()},
        **{name: f"{value:.2f}" for name, value in ratios.items()},
        f"{TARGET} x at batch 1": "" if batch > 1 else "met" if met else "MISSED",
    }


def markdown(rows: list[dict[str, str]]) -> str:
    """A Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(one.values()) for one in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()

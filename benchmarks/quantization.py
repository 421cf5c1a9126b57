"""Accuracy, speed and calibration cost of int8 and fp16 builds, with targets and other tools.

    python -m benchmarks.quantization REAL_DATA
    python -m benchmarks.quantization REAL_DATA --parts accuracy --bounded --peers onnxruntime nncf
    python -m benchmarks.quantization REAL_DATA --parts speed --speed-models timm/seresnet50
    python -m benchmarks.quantization REAL_DATA --images FOLDER --model timm/x=FILE

REAL_DATA is the folder of photographs and weights that SENET_REAL_DATA names. There are four
parts, which can run separately:

calibration  memory and time of calibration (benchmarks/calibration.py).
accuracy     top-1 of each build: calibrated (and searched) on one half of the images, evaluated on
             the other half, then the halves are swapped, so that every image is evaluated once, by
             a build that did not use it. The difference to fp32 is paired, with its 95 % interval.
             Peers are calibrated on the same images. Each int8 build runs in a process of its own,
             which gives its seconds by stage and its peak memory; so does each round of the speeds.
costs        the same cost and speed of builds with random weights, calibrated on 16 images.
speed        int8 vs fp32 in ONNX Runtime, and the same int8 file in OpenVINO where installed; the
             cases alternate in every round, so that interference affects all alike.

Peers: onnxruntime (its quantize_static, u8 x s8 per channel) and nncf (mixed preset, with its fast
and its accurate bias correction), where --peer-python has them: an environment of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

PARTS = ("calibration", "accuracy", "costs", "speed")
MODES = ("max", "percentile", "kl_divergence", "mse")
PEERS = ("onnxruntime", "nncf")
STORED_IMAGES = 400  # preprocessed images on disk, which repeat
Table = list[dict[str, Any]]


def main() -> None:
    """Runs the requested parts; prints their tables, then one JSON document."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SENET_HOME"] = str(options.home or folder)
        os.environ.setdefault("SENET_HOST_LOCK", str(Path(folder) / "host.lock"))
        from benchmarks.quantization_setup import Bench

        bench = Bench(options, Path(folder))
        report = {part: _RUN[part](bench) for part in options.parts}
    for part, table in report.items():
        show(part, table)
    print(json.dumps(report))


def arguments() -> argparse.Namespace:
    """The command-line arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quantization",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("real_data", type=Path, help="folder of photographs and weights")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    add("--images", type=Path, help="labeled images; default: REAL_DATA/imagenet_1000")
    add(
        "--model",
        action="append",
        metavar="ID=FILE",
        help="a model and its weights, can be repeated; default: the SE network and SqueezeNet of "
        "REAL_DATA. Append @0,0,0/1,1,1 for mean and std of an ONNX file.",
    )
    add("--precisions", nargs="+", default=["fp32", "fp16", "int8"])
    add("--modes", nargs="*", default=list(MODES), help="calibration methods; none: only mse")
    add("--targets", nargs="*", default=[], help="additional int8 targets: x86 arm tensorrt")
    add(
        "--bounded",
        action="store_true",
        help="also a build with the accuracy constraint --max-drop",
    )
    add(
        "--max-drop",
        type=float,
        default=1.0,
        help="max accuracy drop (pp) of the constrained build",
    )
    add("--calibration-images", type=int, default=300)
    add("--peers", nargs="*", choices=PEERS, default=[], help="other tools to compare with")
    add("--peer-python", default=sys.executable, help="interpreter that runs the peers")
    add("--speed-models", nargs="*", default=["timm/seresnet50"], help="with random weights")
    add("--batches", nargs="+", type=int, default=[1, 8])
    add("--rounds", type=int, default=5, help="rounds of the speed part; the median counts")
    add("--home", type=Path, help="reuse exports and builds in this folder")
    return parser.parse_args()


def calibration_part(bench: Any) -> Table:
    """Memory and time of calibration, as in benchmarks/calibration.py."""
    from benchmarks import calibration

    options = bench.options
    model_id = options.speed_models[0]
    setup = calibration.prepared(options.real_data, model_id, bench.folder, STORED_IMAGES)
    return [asdict(row) for row in calibration.measure(*setup, options.calibration_images)]


def accuracy_part(bench: Any) -> Table:
    """Accuracy of every build of every model, on images that the build did not use."""
    from benchmarks.quantization_accuracy import accuracy_of

    return [row for model in bench.models for row in accuracy_of(bench, model)]


def speed_part(bench: Any) -> Table:
    """Speed-ups by model and batch size."""
    from benchmarks.quantization_speed import speeds_of

    return [row for model in bench.speed_models for row in speeds_of(bench, model)]


def costs_part(bench: Any) -> Table:
    """Cost of builds with random weights, by model and tool."""
    from benchmarks.quantization_costs import costs_of

    return [row for model in bench.speed_models for row in costs_of(bench, model)]


_RUN = {
    "calibration": calibration_part,
    "accuracy": accuracy_part,
    "costs": costs_part,
    "speed": speed_part,
}


def say(text: str) -> None:
    """Prints a progress message to stderr, so that stdout has only tables."""
    print(text, file=sys.stderr, flush=True)


def show(part: str, table: Table) -> None:
    """Prints one table in Markdown."""
    columns = list(dict.fromkeys(name for row in table for name in row))
    print(f"\n## {part}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in table:
        print(f"| {' | '.join(_cell(row.get(name)) for name in columns)} |")
    print()


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()

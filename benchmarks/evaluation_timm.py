"""timm in the evaluation benchmark: its validation loop, and its script validate.py if given."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.rates import BATCH, Rate, Stopwatch

SPEED_MODEL = "timm/seresnet50"
TORCH_IMAGES = 320
LOGGED = re.compile(r"Test: \[ *(\d+)/\d+\].*?Time: [\d.]+s \(([\d.]+)s")


def _loader(bench: Any, model: str, images: int) -> Any:
    """timm's dataset, transforms and loader, as in its validate.py (CPU, fp32)."""
    from timm.data import create_loader
    from timm.data.dataset import ImageDataset

    spec = bench.preprocess_of(model)
    dataset = ImageDataset(str(bench.class_folders(images)))
    return create_loader(
        dataset,
        input_size=(3, spec.crop, spec.crop),
        batch_size=BATCH,
        use_prefetcher=False,
        interpolation=str(spec.interpolation),
        mean=spec.mean,
        std=spec.std,
        crop_pct=spec.crop / (spec.resize or spec.crop),
        num_workers=bench.threads,
        is_training=False,
    )


def _pass(bench: Any, model: str, images: int, weights: Path | None) -> tuple[Rate, int, int]:
    """(rate, top-1, top-5 counts) of a loop as in validate.py, without creating the model."""
    import timm
    import torch

    network = timm.create_model(model.partition("/")[2], pretrained=False)
    if weights is not None:
        from safetensors.torch import load_file

        network.load_state_dict(load_file(weights))
    network.eval()
    loader = _loader(bench, model, images)
    top1 = top5 = 0
    with torch.inference_mode():
        network(torch.zeros(BATCH, 3, *(2 * [bench.preprocess_of(model).crop])))
        stopwatch = Stopwatch()
        for inputs, target in loader:
            best = network(inputs).topk(5, dim=1).indices
            hits = best.eq(target[:, None])
            top1, top5 = top1 + int(hits[:, 0].sum()), top5 + int(hits.any(dim=1).sum())
        return stopwatch.rate(len(loader.dataset)), top1, top5


def loop_rate(bench: Any, images: int = TORCH_IMAGES) -> Rate:
    """Images per second of timm's loop."""
    return _pass(bench, SPEED_MODEL, images, None)[0]


def loop_counts(bench: Any, model: str) -> tuple[int, int]:
    """Top-1 and top-5 counts of timm's loop with the real weights."""
    _, top1, top5 = _pass(bench, model, 1000, bench.real_weights)
    return top1, top5


def script_rate(bench: Any, script: Path, images: int, options: list[str]) -> Rate:
    """Images per second of timm's `validate.py` by its own timer, without loading the model.

    The script is not in the timm package but in its repository.
    """
    weights = _random_weights(bench.folder / "random.safetensors")
    command = [sys.executable, str(script), "--data-dir", str(bench.class_folders(images))]
    command += ["--model", SPEED_MODEL.partition("/")[2], "--checkpoint", str(weights)]
    command += ["--device", "cpu", "--log-freq", "1"]
    stopwatch = Stopwatch()
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    core = stopwatch.rate(images).core
    logged = LOGGED.findall(done.stderr + done.stdout)
    if done.returncode != 0 or not logged:
        raise SystemExit(f"{script} failed:\n{done.stderr[-2000:]}")
    last, mean_s = logged[-1]
    return Rate(images / (float(mean_s) * (int(last) + 1)), core)


def _random_weights(path: Path) -> Path:
    """A checkpoint of random weights; without one, the script would download weights."""
    if not path.is_file():
        import timm
        from safetensors.torch import save_file

        network = timm.create_model(SPEED_MODEL.partition("/")[2], pretrained=False)
        save_file(network.state_dict(), path)
    return path

"""Record what mmpretrain computes, in an environment of requirements/oracles.txt.

    python -m tests.oracles.record_mmcls [--keep FOLDER]

Writes recorded/mmcls.json: names and logits of the two networks with weights seeded by parameter
name. Stops unless our own mapping gives the very same logits, bit for bit, in this environment.
`--keep` leaves the checkpoints in a folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import mmpretrain
import torch

from tests.support.seeded import (
    INPUT_SHAPES,
    LOGIT_STEP,
    names_digest,
    seeded_input,
    seeded_weights,
)

HERE = Path(__file__).parent
MODELS = {"seresnet50": "seresnet50_8xb32_in1k", "seresnet101": "seresnet101_8xb32_in1k"}


def build(config: str) -> torch.nn.Module:
    """Return mmpretrain's network with its seeded weights, in evaluation mode."""
    network = mmpretrain.get_model(config, pretrained=False).eval()
    state = network.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(seeded_weights(name, tuple(tensor.shape))))
    return network


@torch.no_grad()
def record(network: torch.nn.Module, architecture: str) -> dict[str, object]:
    """Return the digest of the names and the logits of every 25th class for each input."""
    from engine.checkpoints import mmcls

    state = network.state_dict()
    ours = mmcls.build(architecture)
    ours.load_state_dict(mmcls.adapt(state, architecture), strict=True)
    rows = []
    for shape in INPUT_SHAPES:
        image = torch.from_numpy(seeded_input(shape))
        logits = network(image, mode="tensor")
        if not torch.equal(logits, ours(image)):
            raise SystemExit(f"{architecture}: our logits differ at {shape}")
        rows.append([float(f"{value:.9g}") for value in logits[0, ::LOGIT_STEP].tolist()])
    names = [(key, list(tensor.shape)) for key, tensor in state.items()]
    return {"tensors": len(names), "names_sha256": names_digest(names), "logits": rows}


def main() -> None:
    """Record both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path)
    keep = parser.parse_args().keep
    models = {}
    for architecture, config in MODELS.items():
        network = build(config)
        models[architecture] = record(network, architecture)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            torch.save({"state_dict": network.state_dict()}, keep / f"{architecture}.pth")
    made_by = f"mmpretrain {mmpretrain.__version__}, torch {torch.__version__}"
    content = json.dumps({"made_by": made_by, "models": models}, indent=1)
    (HERE / "recorded" / "mmcls.json").write_text(content + "\n")


if __name__ == "__main__":
    main()

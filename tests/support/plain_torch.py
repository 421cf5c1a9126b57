"""What plain torch and torchvision make of the 1,000 photographs: best classes, image by image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import load_file
from torchvision import transforms
from torchvision.datasets.folder import default_loader

RECORDED = Path(__file__).parents[1] / "oracles" / "recorded" / "torch_top5.npz"
"""uint16 (1000, 5) for each network, written by tests/oracles/record_torch_top5.py."""


def recorded_top5(network: str) -> np.ndarray:
    """Best five classes (1000, 5) of the photographs by name, as recorded."""
    with np.load(RECORDED) as arrays:
        return arrays[network].astype(np.int64)


def _se_network(weights: Path) -> torch.nn.Module:
    import timm

    network = timm.create_model("tf_mobilenetv3_small_100", pretrained=False)
    network.load_state_dict(load_file(weights / "tf_mobilenetv3_small_100.safetensors"))
    return network


def _squeezenet(weights: Path) -> torch.nn.Module:
    from torchvision.models import squeezenet1_1

    network = squeezenet1_1(weights=None)
    graph = onnx.load(weights / "squeezenet1_1.onnx").graph
    stored = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.initializer}
    network.load_state_dict({name: torch.from_numpy(stored[name]) for name in network.state_dict()})
    return network


@dataclass(frozen=True, slots=True)
class Network:
    """How a network is loaded from the folder of weights, and what its input is normalized by."""

    load: Callable[[Path], torch.nn.Module]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NETWORKS = {
    "se_network": Network(_se_network, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "squeezenet": Network(_squeezenet, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def crops_of(photographs: Path) -> torch.Tensor:
    """The photographs as torchvision resizes and crops them (1000, 3, 224, 224), uint8, by name."""
    cropped = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BILINEAR),
            transforms.CenterCrop(224),
            transforms.PILToTensor(),
        ]
    )
    files = sorted(photographs.glob("*.JPEG"))
    return torch.stack([cropped(default_loader(str(file))) for file in files])


def top5(network: str, crops: torch.Tensor, weights: Path) -> np.ndarray:
    """Best five classes (1000, 5), computed by plain torch and torchvision."""
    about = NETWORKS[network]
    module = about.load(weights).eval()
    normalize = transforms.Normalize(about.mean, about.std)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        found = [
            module(normalize(batch.float() / 255)).topk(5, dim=1).indices.numpy()
            for batch in crops.split(16)
        ]
    torch.set_num_threads(threads)
    return np.concatenate(found)

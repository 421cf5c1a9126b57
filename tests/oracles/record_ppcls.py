"""Record what Paddle and PaddleClas compute, in an environment of requirements/paddle.txt.

    python -m tests.oracles.record_ppcls [--keep FOLDER]

Writes recorded/ppcls.json: names and logits of the seven networks with weights seeded by parameter
name. `--keep` leaves the whole .pdparams and inference models in a folder, for checks by hand.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path

import paddle

from tests.support.seeded import (
    INPUT_SHAPES,
    LOGIT_STEP,
    names_digest,
    seeded_input,
    seeded_weights,
)

RECORDED = Path(__file__).parent / "recorded"
MODELS = {
    "SE_ResNet18_vd": "se_resnet_vd",
    "SE_ResNet34_vd": "se_resnet_vd",
    "SE_ResNet50_vd": "se_resnet_vd",
    "SENet154_vd": "se_resnext_vd",
    "SE_ResNeXt50_32x4d": "se_resnext",
    "SE_ResNeXt50_vd_32x4d": "se_resnext_vd",
    "SE_ResNeXt101_32x4d": "se_resnext",
}


def model_file(name: str) -> types.ModuleType:
    """Import one file of PaddleClas' zoo without the package, which needs a dozen others."""
    spec = importlib.util.find_spec("paddleclas")
    root = Path(next(iter(spec.submodule_search_locations)))
    for package in ("ppcls", "ppcls.arch", "ppcls.arch.backbone", "ppcls.utils"):
        empty = types.ModuleType(package)
        empty.__path__ = [str(root.joinpath(*package.split(".")))]
        sys.modules.setdefault(package, empty)
    downloads = types.ModuleType("ppcls.utils.save_load")
    downloads.load_dygraph_pretrain = downloads.load_dygraph_pretrain_from_url = None
    sys.modules["ppcls.utils.save_load"] = downloads
    zoo = types.ModuleType("ppcls.arch.backbone.model_zoo")
    zoo.__path__ = [str(root / "ppcls/arch/backbone/model_zoo")]
    sys.modules.setdefault(zoo.__name__, zoo)
    return importlib.import_module(f"{zoo.__name__}.{name}")


def build(architecture: str) -> paddle.nn.Layer:
    """Return the network with its seeded weights, in evaluation mode."""
    # The files name every parameter, so a second network needs a name space of its own.
    with paddle.utils.unique_name.guard():
        network = getattr(model_file(MODELS[architecture]), architecture)()
    for name, parameter in network.state_dict().items():
        parameter.set_value(seeded_weights(name, tuple(parameter.shape)))
    network.eval()
    return network


def record(network: paddle.nn.Layer) -> dict[str, object]:
    """Return the digest of the names, and the logits of every 25th class for each input."""
    rows = [(key, p.name, list(p.shape)) for key, p in network.state_dict().items()]
    logits = [network(paddle.to_tensor(seeded_input(shape))).numpy() for shape in INPUT_SHAPES]
    return {
        "tensors": len(rows),
        "names_sha256": names_digest(rows),
        "logits": [[float(f"{v:.9g}") for v in row[0, ::LOGIT_STEP]] for row in logits],
    }


def keep_files(network: paddle.nn.Layer, folder: Path) -> None:
    """Write the .pdparams and the inference model."""
    paddle.save(network.state_dict(), str(folder / "weights.pdparams"))
    image = paddle.static.InputSpec([None, 3, 224, 224], "float32")
    static = paddle.jit.to_static(network, input_spec=[image], full_graph=True)
    paddle.jit.save(static, str(folder / "inference"))


def main() -> None:
    """Record all seven."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path)
    keep = parser.parse_args().keep
    models = {}
    for architecture in MODELS:
        network = build(architecture)
        models[architecture] = record(network)
        if keep:
            keep_files(network, keep / architecture)
    made_by = f"paddlepaddle {paddle.__version__}, paddleclas 2.6.0"
    content = json.dumps({"made_by": made_by, "models": models}, indent=1)
    (RECORDED / "ppcls.json").write_text(content + "\n")


if __name__ == "__main__":
    main()

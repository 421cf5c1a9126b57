"""Record which classes plain torch and torchvision give the 1,000 photographs.

    SENET_REAL_DATA=FOLDER python -m tests.oracles.record_torch_top5

Writes recorded/torch_top5.npz: the best five classes of every photograph, for each small network.
`make test-slow` computes them again and compares.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tests.support.plain_torch import NETWORKS, RECORDED, crops_of, top5


def main() -> None:
    """Computes and writes them."""
    real_data = Path(os.environ["SENET_REAL_DATA"])
    crops = crops_of(real_data / "imagenet_1000")
    found = {name: top5(name, crops, real_data / "weights") for name in NETWORKS}
    np.savez_compressed(RECORDED, **{name: best.astype(np.uint16) for name, best in found.items()})


if __name__ == "__main__":
    main()

"""A decoding process: `python -m engine.datasets.decode_worker`, one JSON line in, one line out.

The first line is the configuration (root, spec, memory, cache); each further line is a list of
(slot, image, file). The answer says whether the cache had room, or why an image was rejected.
The process ends at the end of its input, which is also the end of its parent.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

from engine.datasets.squares import ImageDecoder, PixelCache
from engine.errors import ImageRejected
from engine.preprocess import PreprocessSpec


def main(lines: TextIO, answers: TextIO) -> None:
    """Decodes until the input ends."""
    config = json.loads(lines.readline())
    spec = PreprocessSpec.from_dict(config["spec"])
    cache = None
    if config["cache"] is not None:
        folder, images = config["cache"]
        cache = PixelCache(Path(folder), images, spec.crop)
    decoder = ImageDecoder(Path(config["root"]), spec, config["memory"], cache)
    for line in lines:
        try:
            answer: dict[str, object] = {"cached": decoder.decode(json.loads(line))}
        except ImageRejected as error:
            answer = {"rejected": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)

"""A process that decodes: `python -m engine.datasets.decode_worker`, one line in, one line out.

The first line says where (JSON: root, spec, memory, cache), every other one is work (place, image,
file). Each is answered by whether the cache had room, or by why an image cannot be prepared. The
end of the input is the end of the parent, and of this process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

from engine.datasets.squares import Filler, PixelCache
from engine.errors import ImageRejected
from engine.preprocess import PreprocessSpec


def main(lines: TextIO, answers: TextIO) -> None:
    """Serves until the input ends."""
    begin = json.loads(lines.readline())
    spec = PreprocessSpec.from_dict(begin["spec"])
    cache = None
    if begin["cache"] is not None:
        folder, images = begin["cache"]
        cache = PixelCache(Path(folder), images, spec.crop)
    filler = Filler(Path(begin["root"]), spec, begin["memory"], cache)
    for line in lines:
        try:
            answer: dict[str, object] = {"kept": filler.fill(json.loads(line))}
        except ImageRejected as error:
            answer = {"rejected": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)

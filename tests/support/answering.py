"""A classifier that answers without a runtime."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from engine.classify.predict import Classification, Prediction
from engine.errors import ChildFailed
from engine.preprocess import open_image
from engine.specs import DEFAULT_RUNTIME


def classified(
    artifact: str, data: bytes, name: str, runtime: str = DEFAULT_RUNTIME
) -> Classification:
    """Decodes the image as the real classifier does, and answers always the same.

    The image `fatal.png` ends the child process.
    """
    if name == "fatal.png":
        raise ChildFailed("The child process was ended by SIGSEGV: try again.")
    open_image(data, name)
    predictions = tuple(Prediction(i, f"class [{i}]", 0.5 / (i + 1)) for i in range(5))
    return Classification(predictions, np.zeros((8, 8, 3), np.uint8), 1.0, 2.0, 3.0)


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(stream, "PNG")
    return stream.getvalue()

"""Sample images of the demo dataset."""

from __future__ import annotations

import io

import streamlit as st


@st.cache_data(show_spinner=False, max_entries=2)
def synthetic_samples(count: int) -> list[tuple[str, bytes]]:
    """(file name, PNG) of one image of each of the first `count` classes, named by class."""
    from PIL import Image

    from engine.demo.images import CLASS_NAMES, EVALUATION, draw_image

    samples = []
    for label in range(min(count, len(CLASS_NAMES))):
        stream = io.BytesIO()
        Image.fromarray(draw_image(label, EVALUATION.first_seed)).save(stream, format="PNG")
        samples.append((f"{CLASS_NAMES[label]}.png", stream.getvalue()))
    return samples

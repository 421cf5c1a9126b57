"""Small pictures of a dataset: the first image of some classes."""

from __future__ import annotations

import io

import numpy as np
import streamlit as st

from dashboard.queries.samples import dataset_index
from dashboard.queries.state import Version
from engine.datasets.reader import DatasetIndex, class_name
from engine.errors import ImageRejected

SIDE = 112


@st.cache_data(show_spinner=False, max_entries=16)
def thumbnails(url: str, version: Version, digest: str, count: int) -> list[tuple[str, bytes]]:
    """(class or file name, JPEG) of images of evenly chosen classes, without unreadable ones."""
    index = dataset_index(url, version, digest)
    if index is None or not len(index):
        return []
    return [
        (_name(index, int(place)), data)
        for place in _places(index, count)
        if (data := _thumbnail(index, int(place))) is not None
    ]


def _places(index: DatasetIndex, count: int) -> np.ndarray:
    _, first = np.unique(index.labels, return_index=True)
    places = np.sort(first) if len(first) > 1 else np.arange(len(index))
    return places[np.unique(np.linspace(0, len(places) - 1, count).astype(int))]


def _name(index: DatasetIndex, place: int) -> str:
    label = int(index.labels[place])
    return class_name(index, label) if label >= 0 else index.files[place]


def _thumbnail(index: DatasetIndex, place: int) -> bytes | None:
    from engine.preprocess import open_image

    try:
        image = open_image(index.root / index.files[place])
    except (ImageRejected, OSError):
        return None
    image.thumbnail((2 * SIDE, 2 * SIDE))
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=85)
    return stream.getvalue()

"""Images to classify: dropped files, the camera, or samples to try."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from dashboard import queries
from dashboard.components.classify.predictions import ImageFile
from dashboard.components.classify.sample_images import synthetic_samples
from dashboard.components.classify.uploads import (
    IMAGE_TYPES,
    MAX_IMAGE_BYTES,
    MAX_IMAGES,
    Rejected,
    split_by_count,
)
from db.models import Artifact

UPLOAD, CAMERA, SAMPLES = "Upload", "Camera", "Samples"
SAMPLE_COUNT = 4
Taken = tuple[list[ImageFile], list[Rejected]]


def choose_images(builds: list[Artifact]) -> Taken:
    """The images of the chosen source, and those that were refused."""
    source = st.segmented_control(
        "Images from",
        list(_SOURCES),
        default=UPLOAD,
        required=True,
        key="source",
        bind="query-params",
    )
    return _SOURCES.get(str(source), _uploaded)(builds)


def _uploaded(builds: list[Artifact]) -> Taken:
    files = st.file_uploader(
        f"Drop images here: at most {MAX_IMAGES}, of {MAX_IMAGE_BYTES // 1_000_000} MB each",
        type=[*IMAGE_TYPES, "heic", "heif", "avif"],
        accept_multiple_files=True,
        max_upload_size=MAX_IMAGE_BYTES // 1_000_000,
        key="photographs",
    )
    taken, rejected = split_by_count([file.name for file in files])
    return [ImageFile(files[i].name, files[i].getvalue()) for i in taken], rejected


def _photographed(builds: list[Artifact]) -> Taken:
    photo = st.camera_input(
        "Photograph", key="camera", help="The picture stays on this machine.", width=420
    )
    return ([ImageFile("camera.jpg", photo.getvalue())] if photo else []), []


def _samples(builds: list[Artifact]) -> Taken:
    """Drawn images for the demo's network, else images of a dataset with the same classes."""
    if any(build.model_id.startswith("demo/") for build in builds):
        return [ImageFile(name, data) for name, data in synthetic_samples(SAMPLE_COUNT)], []
    digests = [
        row.digest
        for row in queries.datasets()
        if any(queries.same_classes(build, row) for build in builds)
    ]
    pictures = _of_dataset(digests[0]) if digests else []
    if not pictures:
        st.caption("No dataset with the classes of this network is registered: upload images.")
    return pictures, []


def _of_dataset(digest: str) -> list[ImageFile]:
    index = queries.dataset_index(queries.url(), queries.version(), digest)
    if index is None or not len(index):
        return []
    steps = [len(index) * n // SAMPLE_COUNT for n in range(SAMPLE_COUNT)]
    paths = [index.root / index.files[place] for place in dict.fromkeys(steps)]
    return [ImageFile(path.name, data) for path in paths if (data := _read(path)) is not None]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.stat().st_size <= MAX_IMAGE_BYTES else None
    except OSError:
        return None


_SOURCES: dict[str, Callable[[list[Artifact]], Taken]] = {
    UPLOAD: _uploaded,
    CAMERA: _photographed,
    SAMPLES: _samples,
}

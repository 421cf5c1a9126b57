"""Sources of images to classify: upload, camera, samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from dashboard import queries
from dashboard.components.classify import kept_images
from dashboard.components.classify.predictions import ImageFile
from dashboard.components.classify.sample_images import synthetic_samples
from dashboard.components.classify.uploads import (
    IMAGE_TYPES,
    MAX_IMAGE_BYTES,
    MAX_IMAGES,
    Rejected,
)
from db.models import Artifact

UPLOAD, CAMERA, SAMPLES = "Upload", "Camera", "Samples"
UPLOADER = "photographs"
SAMPLE_COUNT = 4
Selection = tuple[list[ImageFile], list[Rejected]]
"""Accepted and rejected images."""


def choose_images(builds: list[Artifact]) -> Selection:
    """The images of the selected source."""
    source = st.segmented_control(
        "Images from",
        list(_SOURCES),
        default=UPLOAD,
        required=True,
        key="source",
        bind="query-params",
    )
    return _SOURCES.get(str(source), _from_upload)(builds)


def _from_upload(builds: list[Artifact]) -> Selection:
    files = st.file_uploader(
        f"Drop images here: max {MAX_IMAGES} images, {MAX_IMAGE_BYTES // 1_000_000} MB each",
        type=[*IMAGE_TYPES, "heic", "heif", "avif"],
        accept_multiple_files=True,
        max_upload_size=MAX_IMAGE_BYTES // 1_000_000,
        key=UPLOADER,
        on_change=kept_images.store,
        args=(UPLOADER,),
        help="A name such as n01440764_18.JPEG or tench.jpg tells the true class.",
    )
    kept_images.show_kept(is_empty=not files)
    return kept_images.kept()


def _from_camera(builds: list[Artifact]) -> Selection:
    photo = st.camera_input(
        "Photograph", key="camera", help="The photo stays on this machine.", width=420
    )
    return ([ImageFile("camera.jpg", photo.getvalue())] if photo else []), []


def _from_samples(builds: list[Artifact]) -> Selection:
    """Synthetic images for the demo's model, else images of a dataset with the same classes."""
    if any(build.model_id.startswith("demo/") for build in builds):
        return [ImageFile(name, data) for name, data in synthetic_samples(SAMPLE_COUNT)], []
    digests = [
        row.digest
        for row in queries.datasets()
        if any(queries.has_same_classes(build, row) for build in builds)
    ]
    images = _from_dataset(digests[0]) if digests else []
    if not images:
        st.caption("No registered dataset has the classes of this model: upload images instead.")
    return images, []


def _from_dataset(digest: str) -> list[ImageFile]:
    index = queries.dataset_index(queries.url(), queries.version(), digest)
    if index is None or not len(index):
        return []
    positions = [len(index) * n // SAMPLE_COUNT for n in range(SAMPLE_COUNT)]
    paths = [index.root / index.files[position] for position in dict.fromkeys(positions)]
    return [ImageFile(path.name, data) for path in paths if (data := _read(path)) is not None]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.stat().st_size <= MAX_IMAGE_BYTES else None
    except OSError:
        return None


_SOURCES: dict[str, Callable[[list[Artifact]], Selection]] = {
    UPLOAD: _from_upload,
    CAMERA: _from_camera,
    SAMPLES: _from_samples,
}

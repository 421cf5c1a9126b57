"""Classification of images by the chosen builds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import streamlit as st

from dashboard.components.classify.uploads import Rejected, require_image
from dashboard.formats import escape_markdown, message
from db.models import Artifact
from engine.classify import client
from engine.classify.predict import Classification
from engine.errors import ChildFailed, ImageRejected
from engine.runtimes.registry import label_of
from engine.specs import DEFAULT_RUNTIME

MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file as uploaded."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Choice:
    """A build, and the runtime that runs it."""

    build: Artifact
    runtime: str = DEFAULT_RUNTIME

    @property
    def name(self) -> str:
        """`int8 in OpenVINO`; the default runtime is not named."""
        where = f" in {label_of(self.runtime)}" if self.runtime != DEFAULT_RUNTIME else ""
        return f"{self.build.precision}{where}"


@dataclass(frozen=True, slots=True)
class ClassifiedImage:
    """An image with its classification by each choice, in their order."""

    image: ImageFile
    results: tuple[Classification, ...]


@st.cache_data(max_entries=128, show_spinner=False)
def _classify(
    artifact: str, runtime: str, image_digest: str, name: str, _data: bytes
) -> Classification:
    return client.classify(artifact, _data, name, runtime)


def classify_all(images: list[ImageFile], builds: list[Choice]) -> list[ClassifiedImage]:
    """Classifies every image by every choice, with a progress bar; draws why files are rejected.

    Where the child process fails (timeout, memory, crash), no more images are classified, and a
    button tries again.
    """
    classified: list[ClassifiedImage] = []
    rejected: list[Rejected] = []
    place = st.empty()
    for number, image in enumerate(images, 1):
        if len(images) > 1:
            place.progress(number / len(images), text=f"Image {number} of {len(images)}")
        try:
            result = classify(image, builds)
        except ChildFailed as error:
            st.error(message(f"{image.name}: {error}"), icon=":material/error:")
            st.button("Try again", key="classify_again", icon=":material/refresh:")
            break
        rejected.append(result) if isinstance(result, Rejected) else classified.append(result)
    place.empty()
    show_rejected(rejected)
    return classified


def classify(image: ImageFile, builds: list[Choice]) -> ClassifiedImage | Rejected:
    """Classifies one image by every build."""
    try:
        require_image(image.name, image.data)
        digest = hashlib.sha256(image.data).hexdigest()
        results = tuple(
            _classify(choice.build.digest, choice.runtime, digest, image.name, image.data)
            for choice in builds
        )
    except ImageRejected as error:
        return Rejected(image.name, str(error))
    return ClassifiedImage(image, results)


def show_rejected(rejected: list[Rejected]) -> None:
    """The reason for each rejected file; files with the same reason are listed together."""
    names_by_reason: dict[str, list[str]] = {}
    for file in rejected:
        names_by_reason.setdefault(file.reason, []).append(file.name)
    for reason, names in names_by_reason.items():
        more = len(names) - MAX_NAMES
        listed = ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
        text = reason if reason.startswith(names[0]) else f"{listed}: {reason}"
        st.warning(escape_markdown(text), icon=":material/image_not_supported:")


def first_name(name: str) -> str:
    """The first of ImageNet's synonyms, so that the table stays narrow."""
    return name.partition(",")[0]


def agreement(*results: Classification) -> tuple[str, str]:
    """Whether all builds predict the same classes, as a text and its color."""
    top5s = [[prediction.index for prediction in result.predictions] for result in results]
    if all(top5 == top5s[0] for top5 in top5s):
        return "same top-5", "green"
    if all(top5[0] == top5s[0][0] for top5 in top5s):
        return "same top-1, top-5 differs", "blue"
    return "top-1 differs", "orange"

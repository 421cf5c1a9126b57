"""Classification of images, and the card of each image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.components.classify.uploads import Rejected, require_image
from dashboard.components.common.theme import current_palette
from dashboard.formats import escape_markdown, message
from db.models import Artifact
from engine.classify import client
from engine.classify.predict import Classification
from engine.errors import ChildFailed, ImageRejected
from engine.runtimes.registry import label_of
from engine.specs import DEFAULT_RUNTIME

THUMBNAIL_WIDTH = 224
MAX_NAMES = 3
CARD_HEIGHT = 340  # of an image with two tables, so that the page does not jump


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


def classify_and_show(images: list[ImageFile], builds: list[Choice]) -> list[ImageFile]:
    """Classifies and draws every image by every choice; returns the classified images.

    The reason for a rejected image is drawn in its place; the other images follow. Where the child
    process fails (timeout, memory, crash), no more images are classified, and a button tries again.
    """
    classified = []
    for image in images:
        try:
            with st.skeleton(height=CARD_HEIGHT):
                result = classify(image, builds)
        except ChildFailed as error:
            st.error(message(f"{image.name}: {error}"), icon=":material/error:")
            st.button("Try again", key="classify_again", icon=":material/refresh:")
            break
        if isinstance(result, Rejected):
            show_rejected([result])
        else:
            show_image(result, builds)
            classified.append(image)
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


def show_image(classified: ClassifiedImage, builds: list[Choice]) -> None:
    """The model input, and the top-5 of each build."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{escape_markdown(classified.image.name)}**")
            if len(classified.results) > 1:
                text, color = agreement(*classified.results)
                st.badge(text, color=color)  # type: ignore[arg-type]
        several_models = len({choice.build.model_id for choice in builds}) > 1
        with st.grid(len(builds) + 1, min_column_width=210):
            with st.container():
                crop = classified.results[0].crop
                st.image(crop, width=THUMBNAIL_WIDTH, alt="Model input")
                st.caption(f"Model input: {crop.shape[1]} × {crop.shape[0]} pixels")
            for result, choice in zip(classified.results, builds, strict=True):
                with st.container():
                    _show_top5(result, choice, several_models)


def _show_top5(result: Classification, choice: Choice, with_model: bool) -> None:
    build = choice.build
    model = f"{escape_markdown(build.model_id)} " if with_model else ""
    st.markdown(
        f"{model}**{choice.name}** · {escape_markdown(first_name(result.predictions[0].name))}"
    )
    rows = pd.DataFrame(
        {
            "class": [first_name(prediction.name) for prediction in result.predictions],
            "probability": [100 * prediction.probability for prediction in result.predictions],
        }
    )
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            "class": st.column_config.TextColumn("class", width=105),
            "probability": st.column_config.ProgressColumn(
                "probability",
                width=120,
                min_value=0.0,
                max_value=100.0,
                format="%.1f %%",
                color=current_palette().precisions[build.precision],
            ),
        },
        alt=f"Top-5 classes of {build.model_id} {choice.name} with probabilities",
    )
    st.caption(
        f"decode {result.decode_ms:.1f} ms · preprocess {result.prepare_ms:.1f} ms · "
        f"inference {result.infer_ms:.1f} ms (one request, not a benchmark)"
    )


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

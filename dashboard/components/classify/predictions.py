"""Classification of dropped images, and the card of each."""

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

THUMBNAIL_WIDTH = 224
MOST_NAMED = 3
CARD_HEIGHT = 340  # of a picture beside two lists, so that the page does not jump


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file as it came."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ClassifiedImage:
    """A picture with what each build says of it, in the order of the builds."""

    picture: ImageFile
    answers: tuple[Classification, ...]


@st.cache_data(max_entries=128, show_spinner=False)
def _answer(digest: str, image: str, name: str, _data: bytes) -> Classification:
    return client.classify(digest, _data, name)


def classify_and_show(pictures: list[ImageFile], builds: list[Artifact]) -> list[ImageFile]:
    """Every picture by every build, each drawn as soon as it is judged; returns those judged.

    A picture that is refused says why in its place, and does not stop the others. Where the child
    process fails (time, memory, a crash) the list ends, with a button that tries again.
    """
    shown = []
    for picture in pictures:
        try:
            with st.skeleton(height=CARD_HEIGHT):
                judged = classify(picture, builds)
        except ChildFailed as error:
            st.error(message(f"{picture.name}: {error}"), icon=":material/error:")
            st.button("Try again", key="classify_again", icon=":material/refresh:")
            break
        if isinstance(judged, Rejected):
            show_rejected([judged])
        else:
            show_image(judged, builds)
            shown.append(picture)
    return shown


def classify(picture: ImageFile, builds: list[Artifact]) -> ClassifiedImage | Rejected:
    """One picture by every build."""
    try:
        require_image(picture.name, picture.data)
        image = hashlib.sha256(picture.data).hexdigest()
        answers = tuple(
            _answer(build.digest, image, picture.name, picture.data) for build in builds
        )
    except ImageRejected as error:
        return Rejected(picture.name, str(error))
    return ClassifiedImage(picture, answers)


def show_rejected(rejected: list[Rejected]) -> None:
    """Each refused file by name, with the reason; of many with one reason the first by name."""
    names_of: dict[str, list[str]] = {}
    for one in rejected:
        names_of.setdefault(one.reason, []).append(one.name)
    for reason, names in names_of.items():
        more = len(names) - MOST_NAMED
        listed = ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        text = reason if reason.startswith(names[0]) else f"{listed}: {reason}"
        st.warning(escape_markdown(text), icon=":material/image_not_supported:")


def show_image(judged: ClassifiedImage, builds: list[Artifact]) -> None:
    """The crop that the network saw, and the top five of each build."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{escape_markdown(judged.picture.name)}**")
            if len(judged.answers) > 1:
                text, color = agreement(*judged.answers)
                st.badge(text, color=color)  # type: ignore[arg-type]
        several = len({build.model_id for build in builds}) > 1
        with st.grid(len(builds) + 1, min_column_width=210):
            with st.container():
                crop = judged.answers[0].crop
                st.image(crop, width=THUMBNAIL_WIDTH, alt="The crop that the network was fed")
                st.caption(f"What the network sees: {crop.shape[1]} × {crop.shape[0]} pixels")
            for answer, build in zip(judged.answers, builds, strict=True):
                with st.container():
                    _top_five(answer, build, several)


def _top_five(answer: Classification, build: Artifact, several: bool) -> None:
    model = f"{escape_markdown(build.model_id)} " if several else ""
    st.markdown(
        f"{model}**{build.precision}** · {escape_markdown(first_name(answer.predictions[0].name))}"
    )
    rows = pd.DataFrame(
        {
            "class": [first_name(guess.name) for guess in answer.predictions],
            "probability": [100 * guess.probability for guess in answer.predictions],
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
        alt=f"Top five classes of {build.model_id} at {build.precision} with their probabilities",
    )
    st.caption(
        f"decode {answer.decode_ms:.1f} ms · prepare {answer.prepare_ms:.1f} ms · "
        f"infer {answer.infer_ms:.1f} ms (one request, not a benchmark)"
    )


def first_name(name: str) -> str:
    """Of ImageNet's synonyms the first: the others push the figures out of sight."""
    return name.partition(",")[0]


def agreement(*answers: Classification) -> tuple[str, str]:
    """A word and its color: do all builds say the same?"""
    lists = [[guess.index for guess in answer.predictions] for answer in answers]
    if all(own == lists[0] for own in lists):
        return "same top-5", "green"
    if all(own[0] == lists[0][0] for own in lists):
        return "same top-1, top-5 differs", "blue"
    return "top-1 differs", "orange"

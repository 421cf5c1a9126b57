"""What the SE blocks do with one of the images: the gates of the fp32 build."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dashboard.charts.excitations import excitations, last_of_stages, takeaway
from dashboard.components.classify.excitations_mean import mean_excitations
from dashboard.components.classify.predictions import ImageFile
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.formats import escape_markdown, message
from db.enums import Precision
from db.models import Artifact
from engine.classify import client
from engine.classify.client import ImageExcitations
from engine.errors import WorkbenchError

MOST_PANELS = 8
SKELETON_HEIGHT = 420


def show_excitations(pictures: list[ImageFile], chosen: list[Artifact], all_: list[Artifact]) -> None:
    """A section of its own, computed only when it is switched on."""
    builds = fp32_builds(chosen, all_)
    if not pictures or not builds:
        return
    st.subheader("What the SE blocks do")
    if not st.toggle("Show channel excitations", key="excitations", bind="query-params"):
        st.caption("The weight that each SE block gives to each channel for an image, in fp32.")
        return
    left, right = st.columns(2)
    build = left.selectbox(
        "Network", builds, format_func=lambda one: str(one.model_id), key="excitations_of"
    )
    names = [picture.name for picture in pictures]
    name = right.selectbox("Image", names, key="excitations_image")
    picture = pictures[names.index(str(name))]
    mean = mean_excitations(build)
    with st.skeleton(height=SKELETON_HEIGHT):
        try:
            found = client.excitations(build.digest, picture.data, picture.name)
        except WorkbenchError as error:
            st.info(message(str(error)), icon=":material/info:")
            return
    draw(found, None if mean is None else list(mean.values))


def draw(found: ImageExcitations, mean: list[np.ndarray] | None) -> None:
    """The chart of the last block of each stage, and its sentence."""
    blocks = found.blocks
    which = last_of_stages([block.stage for block in blocks])[-MOST_PANELS:]
    labels = [blocks[n].name for n in which]
    image = [found.values[n] for n in which]
    usual = None if mean is None else [mean[n] for n in which]
    said = takeaway(image, usual, labels)
    st.caption(escape_markdown(said))
    figure = excitations(labels, image, usual, current_palette())
    st.plotly_chart(figure, key="excitations_chart", config=chart_config(), alt=said)
    order = "the dataset's mean" if usual else "this image"
    st.caption(
        f"The last block of each stage ({len(which)} of {len(blocks)} blocks); channels in the "
        f"order of {order}. As figure 5 of Hu et al., Squeeze-and-Excitation Networks."
    )


def fp32_builds(chosen: list[Artifact], all_: list[Artifact]) -> list[Artifact]:
    """The newest fp32 build of each chosen network."""
    found: dict[tuple[str, str], Artifact] = {}
    wanted = {(build.model_id, build.weights_digest) for build in chosen}
    for build in all_:
        key = (build.model_id, build.weights_digest)
        if build.precision == Precision.FP32 and key in wanted:
            found.setdefault(key, build)
    return list(found.values())

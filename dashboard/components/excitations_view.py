"""What the SE blocks do with one of the images: the gates of the fp32 build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard import queries
from dashboard.charts.excitations import excitations, last_of_stages, takeaway
from dashboard.components.classify_view import Picture
from dashboard.components.theme import chart_config, current_palette
from dashboard.formats import escape_markdown, number
from db.enums import Precision
from db.tables import Artifact, Dataset
from engine.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.excitations import Excitations, MeanExcitations

MEAN_IMAGES = 128
MOST_PANELS = 8


@st.cache_resource(max_entries=2, show_spinner="Loading the fp32 graph with its gates")
def gates_of(digest: str, _artifact: Artifact) -> Excitations:
    """The loaded network; at most two stay in memory."""
    from engine.excitations import Excitations

    return Excitations(_artifact)


def excitations_view(pictures: list[Picture], chosen: list[Artifact], all_: list[Artifact]) -> None:
    """A section of its own, computed only when it is switched on."""
    builds = fp32_of(chosen, all_)
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
    try:
        network = gates_of(build.digest, build)
        found = network.of_image(picture.data, picture.name)
    except WorkbenchError as error:
        st.info(escape_markdown(str(error)), icon=":material/info:")
        return
    mean = choose_mean(network, build)
    blocks = network.blocks
    which = last_of_stages([block.stage for block in blocks])[-MOST_PANELS:]
    labels = [blocks[n].name for n in which]
    image = [found[n] for n in which]
    usual = None if mean is None else [mean.values[n] for n in which]
    said = takeaway(image, usual, labels)
    st.caption(said)
    figure = excitations(labels, image, usual, current_palette())
    st.plotly_chart(figure, key="excitations_chart", config=chart_config(), alt=said)
    order = "the dataset's mean" if usual else "this image"
    st.caption(
        f"The last block of each stage ({len(which)} of {len(blocks)} blocks); channels in the "
        f"order of {order}. As figure 5 of Hu et al., Squeeze-and-Excitation Networks."
    )


def fp32_of(chosen: list[Artifact], all_: list[Artifact]) -> list[Artifact]:
    """The newest fp32 build of each chosen network."""
    found: dict[tuple[str, str], Artifact] = {}
    wanted = {(build.model_id, build.weights_digest) for build in chosen}
    for build in all_:
        key = (build.model_id, build.weights_digest)
        if build.precision == Precision.FP32 and key in wanted:
            found.setdefault(key, build)
    return list(found.values())


def choose_mean(network: Excitations, build: Artifact) -> MeanExcitations | None:
    """The mean of a dataset with the network's classes: kept, or computed on request."""
    classes = build.manifest["classes"] - (build.manifest.get("background") is not None)
    fitting = [row for row in queries.datasets() if row.num_classes == classes]
    if not fitting:
        st.caption("Register a dataset of the same classes to see the mean beside the image.")
        return None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        dataset = st.selectbox(
            "Mean of",
            fitting,
            format_func=lambda row: str(row.name),
            key="excitations_dataset",
            width=260,
        )
        known = network.known_mean(dataset, MEAN_IMAGES)
        asked = known is None and st.button(
            f"Compute over {MEAN_IMAGES} images",
            key="excitations_mean",
            icon=":material/functions:",
        )
    return compute_mean(network, dataset) if asked else known


def compute_mean(network: Excitations, dataset: Dataset) -> MeanExcitations | None:
    """With a bar; kept for the next time."""
    bar = st.progress(0.0, text="Computing the mean")
    try:
        found = network.mean_over(
            dataset,
            MEAN_IMAGES,
            lambda done, total: bar.progress(
                done / total, text=f"{number(done, 0)} of {number(total, 0)} images"
            ),
        )
    except WorkbenchError as error:
        st.warning(escape_markdown(str(error)))
        return None
    finally:
        bar.empty()
    return found

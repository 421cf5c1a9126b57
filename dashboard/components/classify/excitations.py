"""The SE gates of an fp32 build for one of the images."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dashboard.charts.excitations import excitations, last_of_stages, takeaway
from dashboard.charts.gate_strength import gate_sentence, gate_strength, stage_means
from dashboard.components.classify.excitations_mean import mean_excitations
from dashboard.components.classify.predictions import ImageFile
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.formats import escape_markdown, message
from db.enums import Precision
from db.models import Artifact
from engine.classify import client
from engine.classify.client import ImageExcitations
from engine.errors import WorkbenchError
from engine.excitations.job import MeanExcitations

MAX_PANELS = 8
SKELETON_HEIGHT = 320
MIN_CLASS_IMAGES = 3


def show_excitations(
    image: ImageFile, predicted: int, selected: list[Artifact], all_builds: list[Artifact]
) -> None:
    """The SE gates beside the picture; they are computed only when they are switched on.

    `predicted`: the class (output index) whose mean is shown, if the dataset has images of it.
    """
    builds = fp32_builds(selected, all_builds)
    if not builds:
        st.caption("SE gates are shown for models with an fp32 build.")
        return
    if not st.toggle("SE gates", key="excitations", bind="query-params"):
        st.caption("How strongly the SE blocks of each stage gate this image, in fp32.")
        return
    build = builds[0]
    if len(builds) > 1:
        build = st.selectbox(
            "Model", builds, format_func=lambda build: str(build.model_id), key="excitations_of"
        )
    mean = mean_excitations(build)
    with st.skeleton(height=SKELETON_HEIGHT):
        try:
            gates = client.excitations(build.digest, image.data, image.name)
        except WorkbenchError as error:
            st.info(message(str(error)), icon=":material/info:")
            return
    show_strength(gates, mean, predicted)
    with st.expander("By channel"):
        draw_chart(gates, None if mean is None else list(mean.values))


def show_strength(gates: ImageExcitations, mean: MeanExcitations | None, predicted: int) -> None:
    """The mean gate of each stage at a glance, against the class and the dataset."""
    stages = [block.stage for block in gates.blocks]
    image = stage_means(stages, [values.mean() for values in gates.values])
    references = {}
    if mean is not None:
        count, of_class = mean.classes.get(predicted, (0, None))
        if of_class is not None and count >= MIN_CLASS_IMAGES:
            references[f"class mean ({count} images)"] = stage_means(stages, list(of_class))
        overall = [values.mean() for values in mean.values]
        references[f"dataset mean ({mean.images} images)"] = stage_means(stages, overall)
    sentence = gate_sentence(image, references)
    st.markdown(escape_markdown(sentence))
    figure = gate_strength(image, references, current_palette())
    st.plotly_chart(figure, key="gate_strength", config=chart_config(), alt=sentence)


def draw_chart(gates: ImageExcitations, mean: list[np.ndarray] | None) -> None:
    """The chart of the last SE block of each stage, with a one-sentence summary."""
    blocks = gates.blocks
    shown = last_of_stages([block.stage for block in blocks])[-MAX_PANELS:]
    labels = [blocks[n].name for n in shown]
    image = [gates.values[n] for n in shown]
    shown_mean = None if mean is None else [mean[n] for n in shown]
    summary = takeaway(image, shown_mean, labels)
    st.caption(escape_markdown(summary))
    figure = excitations(labels, image, shown_mean, current_palette())
    st.plotly_chart(figure, key="excitations_chart", config=chart_config(), alt=summary)
    sort_key = "dataset mean" if shown_mean else "gate for this image"
    st.caption(
        f"The last SE block of each stage ({len(shown)} of {len(blocks)} blocks); channels sorted "
        f"by {sort_key}, as in figure 5 of Hu et al., Squeeze-and-Excitation Networks."
    )


def fp32_builds(selected: list[Artifact], all_builds: list[Artifact]) -> list[Artifact]:
    """The newest fp32 build of the model and weights of each selected build."""
    newest: dict[tuple[str, str], Artifact] = {}
    selected_keys = {(build.model_id, build.weights_digest) for build in selected}
    for build in all_builds:
        key = (build.model_id, build.weights_digest)
        if build.precision == Precision.FP32 and key in selected_keys:
            newest.setdefault(key, build)
    return list(newest.values())

"""One image in detail: model input, top-5 of each build, and the SE gates beside it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.components.classify.excitations import show_excitations
from dashboard.components.classify.predictions import (
    Choice,
    ClassifiedImage,
    agreement,
    first_name,
)
from dashboard.components.common.theme import current_palette
from dashboard.formats import escape_markdown
from db.models import Artifact
from engine.classify.predict import Classification
from engine.classify.table import Predicted

PICTURE_WIDTH = 224


def show_image(
    classified: ClassifiedImage,
    predicted: list[Predicted],
    builds: list[Choice],
    all_builds: list[Artifact],
) -> None:
    """The selected image; the SE gates are computed only when they are switched on."""
    with st.container(border=True):
        left, right = st.columns([2, 3], gap="medium")
        with left:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{escape_markdown(classified.image.name)}**")
                if predicted[0].true_class:
                    st.badge(f"true: {first_name(predicted[0].true_class)}", color="gray")
                if len(builds) > 1:
                    text, color = agreement(*classified.results)
                    st.badge(text, color=color)  # type: ignore[arg-type]
            crop = classified.results[0].crop
            st.image(crop, width=PICTURE_WIDTH, alt="Model input")
            st.caption(f"Model input: {crop.shape[1]} × {crop.shape[0]} pixels")
            several = len({choice.build.model_id for choice in builds}) > 1
            for result, choice in zip(classified.results, builds, strict=True):
                _show_top5(result, choice, several)
        with right:
            top1 = predicted[0].result.predictions[0].index
            show_excitations(
                classified.image, top1, [choice.build for choice in builds], all_builds
            )


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
            "class": st.column_config.TextColumn("class"),
            "probability": st.column_config.ProgressColumn(
                "probability",
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

"""Accuracy loss between two precisions of a model: classes, confusions and images."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts import classes as chart
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.formats import escape_markdown, message, number, plural
from engine.datasets.reader import DatasetIndex, class_name
from engine.errors import ImageRejected, WorkbenchError
from engine.evaluation.flips import Flips
from engine.results.groups import newest_builds

MAX_IMAGES = 12
THUMBNAIL = 168


def accuracy_loss_view(rows: pd.DataFrame, first: str, second: str) -> None:
    """The view; `rows`: results of one image set, with `label` and `recommended`."""
    evaluated = newest_builds(rows[rows["evaluation_id"].notna()])
    models = [
        label
        for label, group in evaluated.groupby("label", sort=False)
        if {first, second} <= set(group["precision"])
    ]
    if not models:
        st.info(
            f"No model has evaluations of both {first} and {second} on these images.",
            icon=":material/compare:",
        )
        return
    recommended = [
        label for label in evaluated.loc[evaluated["recommended"], "label"] if label in models
    ]
    model = st.selectbox(
        "Model",
        models,
        index=models.index(recommended[0]) if recommended else 0,
        key="lost_model",
        bind="query-params",
        width=420,
    )
    own = evaluated[evaluated["label"] == model]
    pair = [own[own["precision"] == precision].iloc[0].to_dict() for precision in (first, second)]
    try:
        flips = queries.flips_of(queries.url(), *(int(row["evaluation_id"]) for row in pair))
    except WorkbenchError as error:
        st.warning(message(str(error)))
        return
    digest = str(pair[0]["dataset_digest"])
    index = queries.dataset_index(queries.url(), queries.version(), digest)
    classes_part(flips, index, first, second)
    images_part(flips, index, digest, first, second)


def classes_part(flips: Flips, index: DatasetIndex | None, first: str, second: str) -> None:
    """The classes with the largest accuracy loss, and the top confusions."""
    worst = chart.worst_classes(flips.classes)
    named = worst.assign(name=[class_name(index, int(label)) for label in worst["label"]])
    takeaway = chart.takeaway(named, len(flips.lost), len(flips.gained), flips.images)
    st.caption(escape_markdown(takeaway))
    if named.empty:
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        figure = chart.class_changes(named, first, second, current_palette())
        st.plotly_chart(figure, key="classes", config=chart_config(), alt=takeaway)
        st.caption(
            "In brackets: images per class. With few images, the accuracy of a class varies a lot."
        )
    with right:
        st.markdown("**Top confusions**")
        top = flips.confusions.head(10)
        st.dataframe(
            pd.DataFrame(
                {
                    "class": [class_name(index, int(label)) for label in top["label"]],
                    f"predicted by {second}": [
                        class_name(index, int(label)) for label in top["second"]
                    ],
                    "images": top["images"].to_numpy(),
                }
            ),
            hide_index=True,
            alt=f"The most frequent wrong classes of {second} where {first} is correct",
        )


def images_part(
    flips: Flips, index: DatasetIndex | None, digest: str, first: str, second: str
) -> None:
    """The images that only one precision classifies correctly, the most confident error first."""
    choices = {
        f"Correct only in {first} ({len(flips.lost):,})": flips.lost,
        f"Correct only in {second} ({len(flips.gained):,})": flips.gained,
    }
    which = st.segmented_control(
        "Images", list(choices), default=next(iter(choices)), required=True, key="which_flips"
    )
    rows = choices.get(str(which), flips.lost)
    if rows.empty:
        st.caption("No images.")
        return
    if index is None:
        st.caption("The images are not shown: the dataset or its folder is not on this machine.")
        return
    shown = rows.head(MAX_IMAGES).to_dict("records")
    with st.grid(6, min_column_width=150):
        for row in shown:
            with st.container(border=True, height="stretch"):
                image_card(row, index, digest, first, second)
    if len(rows) > len(shown):
        st.caption(
            f"{plural(len(rows) - len(shown), 'more image')}, sorted by confidence of the error."
        )


def image_card(
    row: dict[str, Any], index: DatasetIndex, digest: str, first: str, second: str
) -> None:
    """Thumbnail, true class, and the prediction of each precision."""
    name = index.files[int(row["image"])]
    truth = class_name(index, int(row["label"]))
    data = thumbnail(digest, str(index.root / name))
    if data is None:
        st.caption(f":material/broken_image: {escape_markdown(name)} cannot be read any more.")
    else:
        st.image(data, width="stretch", alt=f"{name}, a {truth}")
    st.caption(
        f"**{escape_markdown(truth)}**  \n"
        + "  \n".join(
            f"{precision}: {escape_markdown(class_name(index, int(row[side])))} "
            f"{number(100 * row[f'{side}_probability'], 0)} %"
            for precision, side in ((first, "first"), (second, "second"))
        )
    )


@st.cache_data(show_spinner=False, max_entries=256)
def thumbnail(digest: str, path: str) -> bytes | None:
    """An image of a dataset as a small JPEG; None if it cannot be read."""
    from pathlib import Path

    from engine.preprocess import open_image

    try:
        image = open_image(Path(path))
    except ImageRejected:
        return None
    image.thumbnail((2 * THUMBNAIL, THUMBNAIL))
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=80)
    return stream.getvalue()

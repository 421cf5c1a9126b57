"""Where accuracy was lost between two precisions of a model: classes, confusions, the images."""

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

MOST_IMAGES = 12
THUMBNAIL = 168


def lost_view(rows: pd.DataFrame, first: str, second: str) -> None:
    """The whole section; `rows` have `label`, an evaluation each and one set of images."""
    evaluated = newest_builds(rows[rows["evaluation_id"].notna()])
    models = [
        label
        for label, some in evaluated.groupby("label", sort=False)
        if {first, second} <= set(some["precision"])
    ]
    if not models:
        st.info(
            f"No model has both {first} and {second} evaluated on these images.",
            icon=":material/compare:",
        )
        return
    shipped = [label for label in evaluated.loc[evaluated["ship"], "label"] if label in models]
    model = st.selectbox(
        "Model",
        models,
        index=models.index(shipped[0]) if shipped else 0,
        key="lost_model",
        bind="query-params",
        width=420,
    )
    own = evaluated[evaluated["label"] == model]
    sides = [own[own["precision"] == precision].iloc[0].to_dict() for precision in (first, second)]
    try:
        found = queries.flips_of(queries.url(), *(int(side["evaluation_id"]) for side in sides))
    except WorkbenchError as error:
        st.warning(message(str(error)))
        return
    digest = str(sides[0]["dataset_digest"])
    index = queries.dataset_index(queries.url(), queries.version(), digest)
    classes_part(found, index, first, second)
    images_part(found, index, digest, first, second)


def classes_part(found: Flips, index: DatasetIndex | None, first: str, second: str) -> None:
    """The dumbbells of the classes that lost most, and what their images are taken for."""
    worst = chart.worst_classes(found.classes)
    named = worst.assign(name=[class_name(index, int(label)) for label in worst["label"]])
    takeaway = chart.takeaway(named, len(found.lost), len(found.gained), found.images)
    st.caption(escape_markdown(takeaway))
    if named.empty:
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        figure = chart.class_changes(named, first, second, current_palette())
        st.plotly_chart(figure, key="classes", config=chart_config(), alt=takeaway)
        st.caption("In brackets: images of the class. Few images make a class jump.")
    with right:
        st.markdown("**What lost images are taken for**")
        top = found.confusions.head(10)
        st.dataframe(
            pd.DataFrame(
                {
                    "class": [class_name(index, int(label)) for label in top["label"]],
                    f"{second} says": [class_name(index, int(label)) for label in top["second"]],
                    "images": top["images"].to_numpy(),
                }
            ),
            hide_index=True,
            alt="The most frequent confusions among the images that were lost",
        )


def images_part(
    found: Flips, index: DatasetIndex | None, digest: str, first: str, second: str
) -> None:
    """The images that changed sides, the most confident mistake first."""
    choices = {
        f"Right only in {first} ({len(found.lost):,})": found.lost,
        f"Right only in {second} ({len(found.gained):,})": found.gained,
    }
    which = st.segmented_control(
        "Images", list(choices), default=next(iter(choices)), required=True, key="which_flips"
    )
    rows = choices.get(str(which), found.lost)
    if rows.empty:
        st.caption("No image.")
        return
    if index is None:
        st.caption("The dataset is not registered on this machine, so its images are not shown.")
        return
    shown = rows.head(MOST_IMAGES).to_dict("records")
    with st.grid(6, min_column_width=150):
        for row in shown:
            with st.container(border=True, height="stretch"):
                one_image(row, index, digest, first, second)
    if len(rows) > len(shown):
        st.caption(f"and {plural(len(rows) - len(shown), 'image')} more; the most confident first.")


def one_image(
    row: dict[str, Any], index: DatasetIndex, digest: str, first: str, second: str
) -> None:
    """Thumbnail, the truth, what each precision says."""
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
    """A small JPEG of an image of a dataset; None where it cannot be read."""
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

"""Accuracy loss between two precisions or runtimes of a model: classes, confusions, images."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts import classes as chart
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.benchmarked_model import select_model
from dashboard.formats import escape_markdown, message, number, plural
from engine.datasets.reader import DatasetIndex, class_name
from engine.errors import ImageRejected, WorkbenchError
from engine.evaluation.flips import Flips
from engine.results.groups import newest_builds, runtimes_of
from engine.runtimes.registry import label_of, name_in
from engine.specs.precisions import precision_names

MAX_IMAGES = 12
THUMBNAIL = 168


@dataclass(frozen=True, slots=True)
class Side:
    """One of two compared evaluations: a precision, in one runtime or in any that is shown."""

    precision: str
    runtime: str | None = None

    @property
    def label(self) -> str:
        """`int8`, or `int8 in OpenVINO`."""
        return self.precision + (f" in {label_of(self.runtime)}" if self.runtime else "")

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of this side."""
        own = rows[rows["precision"] == self.precision]
        return (
            own[own["runtime"].map(name_in, na_action="ignore") == self.runtime]
            if self.runtime
            else own
        )


def runtime_sides(rows: pd.DataFrame) -> dict[str, tuple[Side, Side]]:
    """By name, the pairs of runtimes in which one precision was evaluated."""
    evaluated = rows[rows["evaluation_id"].notna()]
    found = {}
    for precision in (name for name in precision_names() if name in set(evaluated["precision"])):
        first, *others = runtimes_of(Side(precision).of(evaluated)["runtime"]) or [""]
        for second in others:
            name = f"{precision}: {label_of(second)} vs {label_of(first)}"
            found[name] = (Side(precision, first), Side(precision, second))
    return found


def accuracy_loss_view(rows: pd.DataFrame, sides: tuple[Side, Side]) -> None:
    """The view; `rows`: results of one image set, with `label`, possibly with `recommended`."""
    evaluated = newest_builds(rows[rows["evaluation_id"].notna()])
    first, second = (side.label for side in sides)
    models = [
        label
        for label, group in evaluated.groupby("label", sort=False)
        if all(len(side.of(group)) for side in sides)
    ]
    if not models:
        st.info(
            f"No model has evaluations of both {first} and {second} on these images.",
            icon=":material/compare:",
        )
        return
    chosen = evaluated.get("recommended", evaluated.index < 0)
    recommended = [label for label in evaluated.loc[chosen, "label"] if label in models]
    model = select_model(models, next(iter(recommended), None))
    own = evaluated[evaluated["label"] == model]
    pair = _pair_of(own, sides)
    try:
        flips = queries.flips_of(queries.url(), *(int(row["evaluation_id"]) for row in pair))
    except WorkbenchError as error:
        st.warning(message(str(error)))
        return
    digest = str(pair[0]["dataset_digest"])
    index = queries.dataset_index(queries.url(), queries.version(), digest)
    classes_part(flips, index, first, second)
    images_part(flips, index, digest, first, second)
    all_images(flips, index, first, second)


def _pair_of(rows: pd.DataFrame, sides: tuple[Side, Side]) -> tuple[dict[str, Any], ...]:
    """A row of each side; both in the same runtime, if there is one and none was chosen."""
    one, other = (side.of(rows) for side in sides)
    first = one.iloc[0]
    same = other[other["runtime"] == first["runtime"]]
    return first.to_dict(), (same if len(same) else other).iloc[0].to_dict()


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
        if (loss := flips.worst_class) is not None:
            st.caption(escape_markdown(loss.sentence(class_name(index, loss.label))))
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
    """The images that only one side classifies correctly, the most confident error first."""
    choices = {
        f"Correct only in {first} ({len(flips.lost):,})": flips.lost,
        f"Correct only in {second} ({len(flips.gained):,})": flips.gained,
        f"Different classes, both incorrect ({len(flips.changed):,})": flips.changed,
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


def all_images(flips: Flips, index: DatasetIndex | None, first: str, second: str) -> None:
    """Every image whose top-1 class differs, with the file and both classes."""
    parts = {"correct only in " + first: flips.lost, "correct only in " + second: flips.gained}
    parts["both incorrect"] = flips.changed
    rows = pd.concat([part.assign(result=name) for name, part in parts.items()])
    if rows.empty:
        return
    with st.expander(f"List of {plural(len(rows), 'image')} with another top-1 class"):
        images = [int(image) for image in rows["image"]]
        files = images if index is None else [index.files[image] for image in images]
        classes = {
            title: [class_name(index, int(label)) for label in rows[column]]
            for title, column in (("class", "label"), (first, "first"), (second, "second"))
        }
        st.dataframe(
            pd.DataFrame({"file": files, **classes, "result": rows["result"].to_numpy()}),
            hide_index=True,
            alt=f"Images whose top-1 class differs between {first} and {second}",
        )


def image_card(
    row: dict[str, Any], index: DatasetIndex, digest: str, first: str, second: str
) -> None:
    """Thumbnail, true class, and the prediction of each side."""
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

"""The filters of the Compare page; their values are in the URL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.links import note_unknown
from dashboard.components.common.old_links import translate_group_label
from engine.results import ResultTables
from engine.results.groups import Group, RuntimeChoice
from engine.results.recommend import Constraints
from engine.runtimes.registry import label_of

IMAGENET_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Selection:
    """The filter values; a group is None if nothing of its kind was measured.

    `runtime`: see `in_runtime`. `imagenet`: whether the images have the classes of the published
    figures.
    """

    accuracy: Group | None
    speed: Group | None
    models: list[str]
    imagenet: bool
    runtime: str = str(RuntimeChoice.EACH)

    @property
    def images(self) -> str:
        """Label of the image set."""
        return self.accuracy.label if self.accuracy else "no evaluation"

    @property
    def setting(self) -> str:
        """Label of the benchmark conditions, without the machine."""
        setting = self.speed.label.split(" · ")[0] if self.speed else "no benchmark"
        if self.runtime == RuntimeChoice.EACH:
            return setting
        best = self.runtime == RuntimeChoice.BEST
        return setting + (", best runtime" if best else f", {label_of(self.runtime)}")

    def rows(self, runtime: str | None = None) -> pd.DataFrame:
        """The results of the selected models in the selected groups; `runtime`: another choice.

        Adds `label`, `key` and `not_comparable` (the reason). A row has accuracy, speed or both;
        measurements of other groups are missing in it. Drops of accuracy are taken from the rows of
        all runtimes, before one is chosen. All sessions share the frame: do not modify it.
        """
        return queries.comparable(self.accuracy, self.speed, self.models, runtime or self.runtime)

    def key(self) -> tuple[object, ...]:
        """What stands for `rows` in a cache: the selection, and the version of the data."""
        groups = queries.group_values(self.accuracy), queries.group_values(self.speed)
        return (queries.url(), queries.version(), *groups, tuple(self.models), self.runtime)

    def judged(self, constraints: Constraints) -> queries.Judged:
        """`rows` under the constraints, and the recommendation."""
        return queries.judged(self.accuracy, self.speed, self.models, self.runtime, constraints)


def choose(tables: ResultTables) -> Selection:
    """Draws the filters in one line and returns their values."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_filters"):
        choices = queries.filter_choices()
        accuracy = _select_group("Accuracy on", list(choices.image_sets), "images", 260)
        speed = _select_group("Speed at", list(choices.settings), "setting", 410)
        runtime = _select_runtime(choices.runtimes)
        labels = list(choices.models)
        note_unknown("models", labels, "the model")
        models = st.multiselect(
            "Models",
            labels,
            key="models",
            placeholder="All models",
            bind="query-params",
        )
    imagenet = accuracy is None or is_imagenet(accuracy, tables)
    return Selection(accuracy, speed, models, imagenet, runtime)


def _select_group(label: str, groups: list[Group], key: str, width: int) -> Group | None:
    """Selects one group; `width` in pixels, wide enough for the labels."""
    by_label = {group.label: group for group in groups}
    if not by_label:
        st.selectbox(label, ["no measurement yet"], key=f"{key}_none", disabled=True, width=width)
        return None
    translate_group_label(key, by_label)
    note_unknown(key, by_label, label.lower())
    chosen = st.selectbox(label, list(by_label), key=key, bind="query-params", width=width)
    return by_label.get(str(chosen), groups[0])


def _select_runtime(names: Sequence[str]) -> str:
    """Selects the best runtime of each build, each runtime, or one; not drawn for one runtime."""
    if len(names) < 2:
        return str(RuntimeChoice.EACH)
    options = [*map(str, RuntimeChoice), *names]
    note_unknown("runtime", [*options, *map(label_of, options)], "the runtime")
    chosen = st.selectbox(
        "Runtime",
        options,
        format_func=label_of,
        key="runtime",
        bind="query-params",
        width=170,
        help="Best runtime: of each model and precision, the fastest runtime that has both an "
        "accuracy and a speed. Each runtime: one mark for each.",
    )
    return str(chosen) if chosen in options else str(RuntimeChoice.BEST)


def published_toggle(selection: Selection) -> bool:
    """Whether the published figures are shown; by default only beside images of ImageNet-1k."""
    return st.toggle(
        "Published figures",
        value=selection.imagenet,
        key="published" if selection.imagenet else "published_beside",
        bind="query-params",
        help="Small gray crosses: the published figures of the 25 catalog models, measured on "
        "ImageNet-1k. They are not comparable with accuracy on other images.",
    )


def is_imagenet(accuracy: Group, tables: ResultTables) -> bool:
    """Whether the image set has the ImageNet-1k classes, as the published figures have.

    The images of imported evaluations may be missing here: then the classes of the labels count.
    """
    digest = accuracy.values["dataset_digest"]
    registered = [row for row in queries.datasets() if row.digest == digest]
    if registered:
        return registered[0].num_classes == IMAGENET_CLASSES
    evaluations = accuracy.select_rows(tables.evaluations)["evaluation_id"]
    return queries.labeled_class_count(int(evaluations.iloc[0])) == IMAGENET_CLASSES

"""What the Compare page shows: chosen by selectboxes that live in the URL."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import queries
from engine.evaluation.comparability import add_exclusion_reasons
from engine.results import ResultTables
from engine.results.groups import (
    Group,
    accuracy_groups,
    speed_groups,
    with_keys,
    with_labels,
)

IMAGENET_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Chosen:
    """Groups are None where nothing of the kind was measured; `published` is whether to show it."""

    accuracy: Group | None
    speed: Group | None
    models: list[str]
    published: bool

    @property
    def images(self) -> str:
        """What accuracy is of, for people."""
        return self.accuracy.label if self.accuracy else "nothing evaluated"

    @property
    def setting(self) -> str:
        """What speed is of, without the machine."""
        return self.speed.label.split(" · ")[0] if self.speed else "nothing benchmarked"

    def rows(self) -> pd.DataFrame:
        """The measured builds of the chosen models in the chosen groups.

        Adds `label`, `key` and `apart` (why a row is not compared with the others). A row has
        accuracy, speed or both; what was measured elsewhere is missing from it.
        """
        found = with_labels(queries.results(self.accuracy, self.speed))
        found = found[found["evaluation_id"].notna() | found["benchmark_id"].notna()]
        if self.models:
            found = found[found["label"].isin(self.models)]
        return with_keys(add_exclusion_reasons(found.reset_index(drop=True)))


def choose(tables: ResultTables) -> Chosen:
    """Draws the filters and returns what they say."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            evaluated, benchmarked = tables.evaluations, tables.benchmarks
            accuracy = _group("Accuracy on", accuracy_groups(evaluated), "images", 260)
            speed = _group("Speed at", speed_groups(benchmarked), "setting", 410)
            labels = list(dict.fromkeys(with_labels(tables.builds)["label"]))
            models = st.multiselect(
                "Models",
                labels,
                key="models",
                placeholder="All models",
                bind="query-params",
            )
        published = _published_toggle(accuracy, tables)
    return Chosen(accuracy, speed, models, published)


def _group(label: str, groups: list[Group], key: str, width: int) -> Group | None:
    """One group of several; `width` in pixels, so that no label is cut where there is room."""
    by_label = {group.label: group for group in groups}
    if not by_label:
        st.selectbox(label, ["nothing measured yet"], key=f"{key}_none", disabled=True, width=width)
        return None
    chosen = st.selectbox(label, list(by_label), key=key, bind="query-params", width=width)
    return by_label.get(str(chosen), groups[0])


def _published_toggle(accuracy: Group | None, tables: ResultTables) -> bool:
    comparable = accuracy is None or is_imagenet(accuracy, tables)
    return st.toggle(
        "Published figures (ImageNet-1k)",
        value=comparable,
        key="published" if comparable else "published_beside",
        bind="query-params",
        help="Small gray crosses: the 25 rows of the catalog as their authors published them. "
        "They are of ImageNet-1k and say nothing about accuracy on other images.",
    )


def is_imagenet(accuracy: Group, tables: ResultTables) -> bool:
    """Whether accuracy on these images may stand beside a published ImageNet-1k figure.

    Imported evaluations are of images that need not be here: there, the labels are counted.
    """
    digest = accuracy.values["dataset_digest"]
    registered = [row for row in queries.datasets() if row.digest == digest]
    if registered:
        return registered[0].num_classes == IMAGENET_CLASSES
    evaluations = accuracy.of(tables.evaluations)["evaluation_id"]
    return queries.classes_judged(int(evaluations.iloc[0])) == IMAGENET_CLASSES

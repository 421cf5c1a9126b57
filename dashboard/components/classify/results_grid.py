"""Results of classification: a grid of images, the table under it, and the predictions as files."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components.classify.predictions import Choice, ClassifiedImage, first_name
from dashboard.formats import escape_markdown, plural
from engine.classify.class_names import class_names_of
from engine.classify.table import Predicted, agree, predict_row, prediction_rows, to_csv
from engine.classify.true_class import TrueClasses

COLUMNS = 4
CARD_WIDTH = 190
SELECTED = "classified_image"
TABLE = "classified_table"


def predicted_of(images: list[ClassifiedImage], builds: list[Choice]) -> list[list[Predicted]]:
    """For each image what each build predicts, with the true class where its name tells it."""
    truths = [TrueClasses(class_names_of(choice.build)) for choice in builds]
    return [
        [
            predict_row(image.image.name, choice.build, choice.runtime, result, truth)
            for choice, result, truth in zip(builds, image.results, truths, strict=True)
        ]
        for image in images
    ]


def show_results(
    images: list[ClassifiedImage], builds: list[Choice]
) -> tuple[ClassifiedImage, list[Predicted]] | None:
    """Draws summary, grid, table and downloads; returns the selected image."""
    predicted = predicted_of(images, builds)
    differ = [not agree([one.result for one in ones]) for ones in predicted]
    names = [_column(choice, builds) for choice in builds]
    shown = list(range(len(images)))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(escape_markdown(summary(predicted, differ, names)), width="stretch")
        if len(builds) > 1 and st.toggle(
            "Show disagreements", key="disagreements", bind="query-params"
        ):
            shown = [place for place in shown if differ[place]]
        _downloads(predicted)
    if not shown:
        st.info("All builds have the same top-1 for every image.", icon=":material/check:")
        return None
    _grid([images[place] for place in shown], [predicted[place] for place in shown], names)
    selected = shown[0]
    if len(shown) > 1:
        selected = shown[_table([predicted[p] for p in shown], names, len(builds) > 1)]
    return images[selected], predicted[selected]


def summary(predicted: list[list[Predicted]], differ: list[bool], names: list[str]) -> str:
    """`12 images · 2 disagreements · right: fp32 10 of 12, int8 9 of 12`."""
    parts = [plural(len(predicted), "image")]
    if len(names) > 1:
        parts.append(plural(sum(differ), "disagreement"))
    rights = []
    for place, name in enumerate(names):
        judged = [
            bool(ones[place].correct) for ones in predicted if ones[place].true_index is not None
        ]
        if judged:
            rights.append(f"{name} {sum(judged)} of {len(judged)}")
    if rights:
        parts.append(f"right: {', '.join(rights)}")
    return " · ".join(parts)


def _column(choice: Choice, builds: list[Choice]) -> str:
    several = len({one.build.model_id for one in builds}) > 1
    return f"{choice.build.model_id} {choice.name}" if several else choice.name


def _grid(
    images: list[ClassifiedImage], predicted: list[list[Predicted]], names: list[str]
) -> None:
    with st.grid(COLUMNS, min_column_width=CARD_WIDTH):
        for image, ones in zip(images, predicted, strict=True):
            with st.container(border=True, gap="xsmall"):
                st.image(image.results[0].crop, width="stretch", alt=f"{image.image.name}")
                st.caption(_title(image, ones))
                for one, name in zip(ones, names, strict=True):
                    st.markdown(_top1(one, name))
                if not agree(image.results):
                    st.badge("top-1 differs", color="orange")


def _title(image: ClassifiedImage, ones: list[Predicted]) -> str:
    truth = ones[0].true_class
    told = f" · true: {escape_markdown(first_name(truth))}" if truth else ""
    return f"{escape_markdown(image.image.name)}{told}"


def _top1(one: Predicted, name: str) -> str:
    best = one.result.predictions[0]
    icon = {True: ":green[:material/check:] ", False: ":red[:material/close:] ", None: ""}
    shown = f"{icon[one.correct]}**{escape_markdown(first_name(best.name))}**"
    return f"{shown} {100 * best.probability:.1f} % :gray[{escape_markdown(name)}]"


def _table(predicted: list[list[Predicted]], names: list[str], several: bool) -> int:
    """One row per image; returns the place of the selected one."""
    rows: list[dict[str, Any]] = []
    for ones in predicted:
        row: dict[str, Any] = {"file": ones[0].image, "true class": ones[0].true_class}
        for one, name in zip(ones, names, strict=True):
            best = one.result.predictions[0]
            row[name] = f"{first_name(best.name)} ({100 * best.probability:.1f} %)"
        if several:
            row["same top-1"] = agree([one.result for one in ones])
        rows.append(row)
    event = st.dataframe(
        pd.DataFrame(rows).dropna(axis=1, how="all"),
        key=TABLE,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        height=min(420, 36 * (len(rows) + 1) + 4),
        row_height=36,
        alt="Top-1 of each build by image; the selected image is shown below",
    )
    chosen: list[int] = event["selection"]["rows"]
    return min(chosen[0], len(predicted) - 1) if chosen else 0


def _downloads(predicted: list[list[Predicted]]) -> None:
    def rows() -> list[dict[str, Any]]:
        return prediction_rows(one for ones in predicted for one in ones)

    st.download_button(
        "CSV",
        lambda: to_csv(rows()),
        "predictions.csv",
        "text/csv",
        key="predictions_csv",
        icon=":material/download:",
        on_click="ignore",
        help="One row per image and build, with the top-5.",
    )
    st.download_button(
        "JSON",
        lambda: json.dumps(rows(), indent=1),
        "predictions.json",
        "application/json",
        key="predictions_json",
        icon=":material/download:",
        on_click="ignore",
    )

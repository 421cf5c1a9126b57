"""Model against model: who is really better, on the same images."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.baseline import against_one
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.formats import escape_markdown, plural
from engine.results.groups import accuracy_points
from engine.results.wording import of_reference

MOST_ROWS = 20


def against_view(rows: pd.DataFrame) -> None:
    """Every build against one of them, the most accurate at first."""
    points = accuracy_points(rows).sort_values("top1", ascending=False)
    if len(points) < 2:
        st.info("Two builds evaluated on the same images are needed.", icon=":material/balance:")
        return
    reference = st.selectbox(
        "Reference", list(points["key"]), key="reference", bind="query-params", width=600
    )
    if reference not in set(points["key"]):
        reference = points["key"].iloc[0]
    others = points[points["key"] != reference].head(MOST_ROWS)
    found = changes(others, int(points.loc[points["key"] == reference, "evaluation_id"].iloc[0]))
    if found.empty:
        st.info(
            "None of them can be paired with it image by image: the per-image results are missing "
            "or of other images.",
            icon=":material/balance:",
        )
        return
    said = of_reference(found, str(reference))
    st.caption(escape_markdown(said))
    figure = against_one(found, str(reference), current_palette())
    st.plotly_chart(figure, key="against", config=chart_config(), alt=said)
    left_out = len(points) - 1 - len(found)
    if left_out:
        st.caption(
            f"{plural(left_out, 'build')} not shown: beyond the {MOST_ROWS} most accurate, or not "
            f"to be paired image by image. Choose models above to see others."
        )


def changes(others: pd.DataFrame, reference_id: int) -> pd.DataFrame:
    """One row a build that can be paired with the reference; columns as charts.against says."""
    found = []
    for row in others.to_dict("records"):
        pair = queries.difference(reference_id, int(row["evaluation_id"]))
        if pair is not None:
            found.append(
                {
                    "key": row["key"],
                    "precision": row["precision"],
                    "change": 100 * pair.difference,
                    "change_low": 100 * pair.low,
                    "change_high": 100 * pair.high,
                    "p_value": pair.p_value,
                    "only_here": pair.only_b,
                    "only_reference": pair.only_a,
                }
            )
    return pd.DataFrame(found)

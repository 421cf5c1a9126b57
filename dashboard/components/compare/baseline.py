"""Model vs baseline: which builds are significantly better or worse, on the same images."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.baseline import baseline_differences
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.formats import escape_markdown, plural
from engine.results.groups import accuracy_points
from engine.results.wording import baseline_summary

MAX_ROWS = 20


def baseline_view(rows: pd.DataFrame) -> None:
    """All builds vs a baseline build; default: the most accurate one."""
    points = accuracy_points(rows).sort_values("top1", ascending=False)
    if len(points) < 2:
        st.info(
            "This view needs two builds evaluated on the same images.", icon=":material/balance:"
        )
        return
    baseline = st.selectbox(
        "Baseline", list(points["key"]), key="reference", bind="query-params", width=600
    )
    if baseline not in set(points["key"]):
        baseline = points["key"].iloc[0]
    others = points[points["key"] != baseline].head(MAX_ROWS)
    baseline_id = int(points.loc[points["key"] == baseline, "evaluation_id"].iloc[0])
    differences = paired_differences(others, baseline_id)
    if differences.empty:
        st.info(
            "No build can be paired with the baseline: per-image results are missing or are of "
            "other images.",
            icon=":material/balance:",
        )
        return
    summary = baseline_summary(differences, str(baseline))
    st.caption(escape_markdown(summary))
    figure = baseline_differences(differences, str(baseline), current_palette())
    st.plotly_chart(figure, key="against", config=chart_config(), alt=summary)
    hidden = len(points) - 1 - len(differences)
    if hidden:
        st.caption(
            f"{plural(hidden, 'build')} not shown: not among the {MAX_ROWS} most accurate, or "
            f"without per-image results. Select models above to see others."
        )


def paired_differences(others: pd.DataFrame, baseline_id: int) -> pd.DataFrame:
    """One row per build that can be paired with the baseline; columns: see charts.baseline."""
    differences = []
    for row in others.to_dict("records"):
        pair = queries.paired_difference(baseline_id, int(row["evaluation_id"]))
        if pair is not None:
            differences.append(
                {
                    "key": row["key"],
                    "precision": row["precision"],
                    "change": 100 * pair.difference,
                    "change_low": 100 * pair.low,
                    "change_high": 100 * pair.high,
                    "p_value": pair.p_value,
                    "only_build": pair.only_b,
                    "only_baseline": pair.only_a,
                }
            )
    return pd.DataFrame(differences)

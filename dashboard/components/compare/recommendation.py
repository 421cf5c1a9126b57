"""The recommended build: its state, its evidence, and what to do about it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.package import package_popover
from dashboard.components.compare.constraints import choose_constraints
from dashboard.components.compare.filters import Selection
from dashboard.formats import escape_markdown
from db.session import writing
from engine.errors import WorkbenchError
from engine.jobs import dispatcher, queue
from engine.results.recommend import (
    Constraints,
    Recommendation,
    RecommendationText,
    State,
    candidates,
    caveats,
    comparable_points,
    most_accurate_text,
    recommendation_text,
)
from engine.results.recommend.measure_again import quiet_session, rows_to_measure
from engine.results.recommend.text import NO_CANDIDATES
from engine.runtimes.registry import name_in
from engine.text import plural

ICONS = {
    State.MEETS: ":material/check_circle:",
    State.LIKELY: ":material/hourglass_top:",
    State.INCONCLUSIVE: ":material/help:",
    State.FAILS: ":material/block:",
}


def recommendation_card(
    rows: pd.DataFrame, selection: Selection
) -> tuple[pd.DataFrame, Constraints | None]:
    """Draws recommendation and constraints.

    Returns `rows` with `meets` and `recommended`, and the constraints; None where nothing can be
    recommended yet.
    """
    points = comparable_points(rows)
    builds = candidates(points)
    with st.container(border=True):
        if builds.empty:
            _without_speed(points)
            return rows.assign(meets=True, recommended=False), None
        answer = st.container()
        constraints = choose_constraints()
        judged = selection.judged(constraints)
        with answer:
            if judged.found is not None:
                _show_recommendation(judged.found, judged.builds, constraints, selection)
    return judged.rows, constraints


def _without_speed(points: pd.DataFrame) -> None:
    """The most accurate build, as long as no build has both accuracy and speed."""
    st.markdown("**Most accurate build**")
    if points.empty:
        st.caption(NO_CANDIDATES)
        return
    best, *others = points.sort_values("top1", ascending=False).to_dict("records")
    second = others[0] if others else None
    lead = None
    if second is not None:
        ids = int(second["evaluation_id"]), int(best["evaluation_id"])
        lead = queries.paired_difference(*ids)
    text = most_accurate_text(best, second, lead)
    st.info(_markdown(text), icon=":material/trophy:")


def _markdown(text: RecommendationText) -> str:
    rest = " ".join(filter(None, (text.open, text.evidence)))
    return f"**{escape_markdown(text.head)}** {escape_markdown(rest)}"


def _show_recommendation(
    found: Recommendation, builds: pd.DataFrame, constraints: Constraints, selection: Selection
) -> None:
    text = recommendation_text(found, constraints, selection.setting)
    box = st.success if found.state == State.MEETS else st.warning
    box(_markdown(text), icon=ICONS[found.state])
    if found.row is not None:
        limits = "; ".join(caveats(found.row, constraints))
        if limits:
            sentence = escape_markdown(f"{limits[0].upper()}{limits[1:]}.")
            st.caption(f":orange[:material/warning:] {sentence}")
    with st.container(horizontal=True, vertical_alignment="center"):
        _measure_again_button(rows_to_measure(found, builds))
        if found.row is not None:
            artifact = queries.provenance(found.row["artifact_digest"], None, None).artifact
            if artifact is not None:
                runtime = name_in(str(found.row["runtime"]))
                package_popover(artifact, "recommended", runtime)


def _measure_again_button(rows: list[dict[str, Any]]) -> None:
    """Queues one session of the builds whose speed cannot decide; drawn where there are any."""
    if not rows:
        return
    names = ", ".join(dict.fromkeys(f"{row['label']} {row['precision']}" for row in rows))
    st.button(
        "Measure again when quiet",
        key="measure_again",
        icon=":material/timer:",
        on_click=_measure_again,
        args=(rows,),
        help=f"Queues one measuring session of {plural(len(rows), 'build')} ({names}). It waits up "
        "to 30 min for a quiet machine and says on Jobs what disturbs it.",
    )


def _measure_again(rows: list[dict[str, Any]]) -> None:
    """Callback: queues the session."""
    try:
        job = quiet_session(rows, queries.url())
        with writing(queries.url()) as session:
            number = queue.submit(session, job)
        dispatcher.ensure_dispatcher()
    except WorkbenchError as error:
        st.toast(escape_markdown(str(error)), icon=":material/error:")
        return
    st.toast(f"Job {number} waits for a quiet machine; see Jobs.", icon=":material/timer:")

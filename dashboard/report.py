"""The HTML report: one self-contained file with recommendation, charts, table and machines."""

from __future__ import annotations

import html
import time

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.accuracy import accuracy_against_compute, accuracy_against_throughput
from dashboard.charts.svg import to_svg
from dashboard.components.common.definitions import DEFINITIONS
from dashboard.formats import is_missing, plural
from dashboard.palette import LIGHT
from engine.evaluation.comparability import with_not_comparable
from engine.results.formats import TABLE_STYLE, html_table
from engine.results.groups import (
    accuracy_groups,
    accuracy_points,
    speed_groups,
    with_keys,
    with_labels,
)
from engine.results.published import with_estimates
from engine.results.recommend import (
    Constraints,
    Evidence,
    State,
    candidates,
    caveats,
    comparable_points,
    only_real_or_only_demo,
    recommend,
    recommendation_text,
)
from engine.results.selection import comparable_rows

MAX_GROUPS = 4
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f1e1c; max-width: 1240px; margin: 2rem auto;
       padding: 0 1rem; }
figure { margin: 1rem 0 2rem; max-width: 960px; } svg { width: 100%; height: auto; }
 figcaption { color: #5c5a55; }
.answer { border: 1px solid #dedcd7; border-left: 6px solid #9a6700; padding: 0 1rem;
          margin: 1rem 0; } .answer.meets { border-left-color: #1a7f37; }
.answer h2 { font-size: 1rem; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; }
"""


def report(
    frame: pd.DataFrame, columns: list[str], about: str, evidence: Evidence | None = None
) -> str:
    """The HTML page of `frame` (with `notes`) and its `columns`; `about`: the filters in words.

    `evidence`: what the recommendation reads beside the table; without it nothing is shown to be
    within the accuracy drop.
    """
    title = "SENet Workbench: results"
    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{plural(len(frame), 'result')}; {html.escape(about)} Written {written}.</p>",
        *_recommendations(frame, evidence or Evidence()),
        *_charts(frame),
        "<h2>Table</h2>",
        html_table(frame[columns]),
        "<h2>Machines</h2>",
        _machines(frame),
        "<h2>Definitions</h2>",
        "<dl>",
        *(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in DEFINITIONS.items()),
        "</dl>",
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width">'
        f"<style>{STYLE}{TABLE_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _recommendations(frame: pd.DataFrame, evidence: Evidence) -> list[str]:
    """The recommendation for each image set, under the default constraints."""
    constraints, parts = Constraints(), []
    real = only_real_or_only_demo(frame)
    for group in accuracy_groups(real)[:MAX_GROUPS]:
        rows = group.select_rows(real)
        settings = speed_groups(rows)
        if not settings:
            continue
        points = candidates(comparable_points(comparable_rows(settings[0].select_rows(rows))))
        if points.empty:
            continue
        found = recommend(points, constraints, evidence)
        text = recommendation_text(found, constraints, settings[0].label)
        limits = "; ".join(caveats(found.row, constraints)) if found.row else ""
        kind = "meets" if found.state == State.MEETS else "open"
        rest = " ".join(filter(None, (text.open, text.evidence, limits and f"Note: {limits}.")))
        parts.append(
            f'<section class="answer {kind}"><h2>{html.escape(group.label)}</h2>'
            f"<p><strong>{html.escape(text.head)}</strong> {html.escape(rest)}</p>"
            f"<p>Constraint: accuracy drop of at most {constraints.max_drop_pp:g} pp.</p></section>"
        )
    return parts


def _charts(frame: pd.DataFrame) -> list[str]:
    """Two charts per image set; throughput in the configuration with the most builds."""
    labeled = with_keys(with_labels(frame))
    drawn: list[str] = []
    for group in accuracy_groups(labeled)[:MAX_GROUPS]:
        rows = group.select_rows(labeled)
        points = with_not_comparable(accuracy_points(rows))
        if points.empty:
            continue
        drawn.append(f"<h2>Accuracy on {html.escape(group.label)}</h2>")
        settings = speed_groups(rows)
        if settings:
            setting = settings[0]
            measured = with_not_comparable(accuracy_points(setting.select_rows(rows)))
            if len(measured):
                figure = accuracy_against_throughput(measured, LIGHT, group.label, setting.label)
                drawn.append(_figure(figure, f"Accuracy vs throughput, {setting.label}"))
        estimated = with_estimates(points)
        if estimated["compute_gmacs"].notna().any():
            figure = accuracy_against_compute(estimated, None, LIGHT, group.label)
            drawn.append(_figure(figure, f"Accuracy vs compute{_estimate_note(estimated)}"))
    return drawn


def _estimate_note(points: pd.DataFrame) -> str:
    any_estimated = points["estimated"].any()
    return "; dot inside a mark: GMACs estimated from published FLOPs" if any_estimated else ""


def _figure(figure: go.Figure, caption: str) -> str:
    text = html.escape(caption)
    return f"<figure><figcaption>{text}</figcaption>{to_svg(figure, LIGHT, caption)}</figure>"


def _machines(frame: pd.DataFrame) -> str:
    machines = frame.drop_duplicates("environment_digest")
    lines = "".join(
        f"<li>{html.escape(str(label))} <code>{html.escape(str(digest)[:12])}</code></li>"
        for label, digest in zip(
            machines["environment"], machines["environment_digest"], strict=True
        )
        if not is_missing(label)
    )
    return f"<ul>{lines}</ul>"

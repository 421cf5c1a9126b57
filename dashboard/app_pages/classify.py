"""Top-5 of images that are dropped in, up to four builds side by side."""

from __future__ import annotations

import os
from collections import Counter

import streamlit as st

from dashboard import queries
from dashboard.components.classify.excitations import show_excitations
from dashboard.components.classify.image_sources import choose_images
from dashboard.components.classify.predictions import classify_and_show, show_rejected
from dashboard.components.common.demo import demo_button
from dashboard.formats import short
from db.enums import Precision, WeightsKind
from db.models import Artifact
from engine.config import settings
from engine.jobs.locks import SHARED_MODE, try_lock

MOST_BUILDS = 4


def choose_builds(builds: list[Artifact]) -> list[Artifact]:
    """Up to four builds, of any models; the newest model's first and last precision at first."""
    by_label = labeled(builds)
    newest = [label for label in by_label if by_label[label].model_id == builds[0].model_id]
    first = sorted(newest, key=lambda label: list(Precision).index(by_label[label].precision))  # type: ignore[arg-type]
    names = st.multiselect(
        f"Builds (at most {MOST_BUILDS}, side by side)",
        list(by_label),
        default=[first[0], first[-1]] if len(first) > 1 else first,
        max_selections=MOST_BUILDS,
        key="builds",
        bind="query-params",
    )
    return [by_label[name] for name in names if name in by_label]


def labeled(builds: list[Artifact]) -> dict[str, Artifact]:
    """The newest build of each model, weights and precision by its name, the newest first.

    Weights are named where a model has several.
    """
    weights = Counter(model for model, _ in {(b.model_id, b.weights_digest) for b in builds})
    found: dict[str, Artifact] = {}
    for build in builds:
        random = " (random weights)" if build.weights_kind == WeightsKind.RANDOM else ""
        several = weights[build.model_id] > 1
        digest = f" · weights {short(build.weights_digest)}" if several else ""
        found.setdefault(f"{build.model_id} {build.precision}{random}{digest}", build)
    return found


def machine_is_free() -> bool:
    """False while a benchmark runs alone on this machine: classifying would falsify it."""
    lock = try_lock(settings().host_lock, exclusive=False, mode=SHARED_MODE)
    if lock is None:
        return False
    os.close(lock)
    return True


st.title("Classify")
found = queries.builds()
if not found:
    with st.container(border=True):
        st.markdown(
            "**There is no build to classify with yet.** The demo makes three (fp32, fp16 and "
            "int8) of a small network that knows 16 drawn shapes; a run of your own makes them of "
            "any model."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            demo_button("run_demo_from_classify")
            st.page_link(
                "app_pages/new_run.py",
                label="Or queue a run of your own",
                icon=":material/add_circle:",
            )
else:
    chosen_builds = choose_builds(found)
    images, refused = choose_images(chosen_builds)
    if not chosen_builds:
        st.info("Choose at least one build.", icon=":material/deployed_code:")
    elif images and not machine_is_free():
        st.info(
            "A benchmark is running alone on this machine, and classifying now would falsify it. "
            "Reload this page when it has ended.",
            icon=":material/hourglass:",
        )
    elif not images and not refused:
        st.caption("Nothing leaves this machine.")
    else:
        show_rejected(refused)
        judged = classify_and_show(images, chosen_builds)
        show_excitations(judged, chosen_builds, found)

"""Classify: top-5 of images by up to four builds, side by side."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from dashboard import queries
from dashboard.components.classify.image_sources import choose_images
from dashboard.components.classify.one_image import show_image
from dashboard.components.classify.predictions import Choice, classify_all, show_rejected
from dashboard.components.classify.results_grid import show_results
from dashboard.components.classify.waiting import is_machine_free, show_waiting
from dashboard.components.common.demo import demo_button
from dashboard.components.common.purpose import page_title
from dashboard.formats import short
from db.enums import WeightsKind
from db.models import Artifact
from engine.build.lookup import why_cannot_run
from engine.runtimes.registry import RUNTIMES, label_of
from engine.specs import DEFAULT_RUNTIME
from engine.specs.precisions import precision_names

MAX_BUILDS = 4


def choose_builds(builds: list[Artifact]) -> list[Choice]:
    """Up to four builds of any models, each in a runtime.

    The default is the first and the last precision of the newest model, in the default runtime;
    never a build with random weights, whose classes mean nothing.
    """
    by_label = choices_by_label(builds)
    trained = [build for build in builds if build.weights_kind != WeightsKind.RANDOM]
    newest = [
        label
        for label, choice in by_label.items()
        if trained
        and choice.build.model_id == trained[0].model_id
        and choice.build.weights_digest == trained[0].weights_digest
        and choice.runtime == DEFAULT_RUNTIME
    ]
    if not trained:
        st.caption("All builds have random weights: what they predict means nothing.")
    newest.sort(key=lambda label: precision_names().index(by_label[label].build.precision))
    labels = st.multiselect(
        f"Builds (max {MAX_BUILDS})",
        list(by_label),
        default=[newest[0], newest[-1]] if len(newest) > 1 else newest,
        max_selections=MAX_BUILDS,
        key="builds",
        bind="query-params",
    )
    return [by_label[label] for label in labels if label in by_label]


def builds_by_label(builds: list[Artifact]) -> dict[str, Artifact]:
    """The newest build of each model, weights and precision by label, the newest first.

    The label contains the weights digest where a model has several weights.
    """
    weights = Counter(model for model, _ in {(b.model_id, b.weights_digest) for b in builds})
    by_label: dict[str, Artifact] = {}
    for build in builds:
        random = " (random weights)" if build.weights_kind == WeightsKind.RANDOM else ""
        several = weights[build.model_id] > 1
        digest = f" · weights {short(build.weights_digest)}" if several else ""
        by_label.setdefault(f"{build.model_id} {build.precision}{random}{digest}", build)
    return by_label


def choices_by_label(builds: list[Artifact]) -> dict[str, Choice]:
    """Each build in each runtime that can run it here, by label; the default runtime first."""
    by_label = builds_by_label(builds)
    return {
        label + (f" in {label_of(runtime)}" if runtime != DEFAULT_RUNTIME else ""): Choice(
            build, runtime
        )
        for runtime in RUNTIMES
        for label, build in by_label.items()
        if why_cannot_run(build, runtime, queries.url()) is None
    }


page_title("Classify")
all_builds = queries.builds()
if not all_builds:
    with st.container(border=True):
        st.markdown(
            "**No builds yet.** The demo builds fp32, fp16 and int8 of a small network with 16 "
            "classes of synthetic images. Your own run builds any model."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            demo_button("run_demo_from_classify")
            st.page_link(
                "app_pages/new_run.py",
                label="Queue your own run",
                icon=":material/add_circle:",
            )
else:
    selected_builds = choose_builds(all_builds)
    images, rejected = choose_images([choice.build for choice in selected_builds])
    if not selected_builds:
        st.info("Select at least one build.", icon=":material/deployed_code:")
    elif images and not is_machine_free():
        show_waiting(len(images))
    elif not images and not rejected:
        st.caption("Images stay on this machine.")
    else:
        show_rejected(rejected)
        classified = classify_all(images, selected_builds)
        selected = show_results(classified, selected_builds) if classified else None
        if selected is not None:
            show_image(*selected, selected_builds, all_builds)

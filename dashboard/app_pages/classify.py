"""Top-5 of images that are dropped in, two precisions side by side."""

from __future__ import annotations

import os

import streamlit as st

from dashboard import queries
from dashboard.components.classify_view import (
    Picture,
    classify_all,
    show_picture,
    show_rejected,
)
from dashboard.components.demo import demo_button
from dashboard.components.sample_images import samples_of
from dashboard.components.uploads import (
    IMAGE_TYPES,
    MAX_IMAGE_BYTES,
    MAX_IMAGES,
    Rejected,
    split_by_count,
)
from dashboard.formats import short
from db.enums import Precision, WeightsKind
from db.tables import Artifact
from engine.config import settings
from engine.jobs.locks import try_lock

MOST_PRECISIONS = 2


def choose_builds(builds: list[Artifact]) -> list[Artifact]:
    """One model, at one or two precisions; the newest build of each."""
    by_label: dict[str, dict[str, Artifact]] = {}
    for build in reversed(builds):
        by_label.setdefault(label_of(build), {})[build.precision] = build
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        names = list(reversed(by_label))
        model = st.selectbox("Model", names, key="classify_model", bind="query-params")
    chosen = by_label.get(str(model), next(iter(by_label.values())))
    offered = [str(precision) for precision in Precision if precision in chosen]
    with right:
        precisions = st.multiselect(
            f"Precisions (at most {MOST_PRECISIONS}, side by side)",
            offered,
            default=[offered[0], offered[-1]] if len(offered) > 1 else offered,
            max_selections=MOST_PRECISIONS,
            key=f"precisions_{model}",
        )
    return [chosen[precision] for precision in precisions[:MOST_PRECISIONS] if precision in chosen]


def label_of(build: Artifact) -> str:
    """A model with its weights; random ones say so."""
    random = " (random weights)" if build.weights_kind == WeightsKind.RANDOM else ""
    return f"{build.model_id}{random} · weights {short(build.weights_digest)}"


def dropped_pictures(model_id: str) -> tuple[list[Picture], list[Rejected]]:
    """The uploaded files, or drawn samples for the demo's own network."""
    files = st.file_uploader(
        f"Images: at most {MAX_IMAGES}, of {MAX_IMAGE_BYTES // 1_000_000} MB each",
        type=[*IMAGE_TYPES, "heic", "heif", "avif"],
        accept_multiple_files=True,
        max_upload_size=MAX_IMAGE_BYTES // 1_000_000,
        key="photographs",
    )
    taken, rejected = split_by_count([file.name for file in files])
    pictures = [Picture(files[i].name, files[i].getvalue()) for i in taken]
    if not pictures and model_id.startswith("demo/"):
        st.toggle("Use four images of the demo set instead", key="samples", bind="query-params")
        if st.session_state["samples"]:
            pictures = [Picture(name, data) for name, data in samples_of(4)]
    return pictures, rejected


def machine_is_free() -> bool:
    """False while a benchmark runs alone on this machine: classifying would falsify it."""
    lock = try_lock(settings().host_lock, exclusive=False)
    if lock is None:
        return False
    os.close(lock)
    return True


st.title("Classify")
found = queries.builds()
if not found:
    with st.container(border=True):
        st.markdown("**There is no build to classify with yet.** The demo makes three.")
        demo_button("run_demo_from_classify")
else:
    chosen_builds = choose_builds(found)
    model_id = chosen_builds[0].model_id if chosen_builds else ""
    images, refused = dropped_pictures(model_id)
    if not chosen_builds:
        st.info("Choose at least one precision.")
    elif images and not machine_is_free():
        st.info(
            "A benchmark is running alone on this machine, and classifying now would falsify it. "
            "Reload this page when it has ended.",
            icon=":material/hourglass:",
        )
    elif not images and not refused:
        st.caption("Drop one or more photographs above; nothing leaves this machine.")
    else:
        results, also_refused = classify_all(images, chosen_builds)
        show_rejected([*refused, *also_refused])
        for result in results:
            show_picture(result, chosen_builds)

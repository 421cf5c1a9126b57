"""Datasets: what is registered, what was found in each, and a form to add one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.components.guard import guard
from dashboard.components.notice import go_to, leave_notice
from dashboard.components.provenance import facts_table
from dashboard.formats import ago, escape_markdown, number, plural, short
from db.session import writing
from db.tables import Dataset
from engine.errors import DatasetInvalid, InvalidRequest
from engine.jobs import dispatcher, store
from engine.runs.new_jobs import dataset_job
from engine.runs.requests import BUILTIN_DATASETS
from engine.specs import DatasetSpec, absolute


def queue(spec: DatasetSpec) -> None:
    """Queues the registration and goes to Jobs."""
    with writing(queries.url()) as session:
        job_id = store.submit(session, dataset_job(spec))
    dispatcher.ensure_dispatcher()
    leave_notice(f"Dataset {escape_markdown(spec.name)} is queued as job {job_id}.")
    go_to("app_pages/jobs.py")


def checked_spec(name: str, folder: str, labels: str) -> DatasetSpec:
    """The form as data. Raises InvalidRequest or DatasetInvalid with what is wrong."""
    if name in BUILTIN_DATASETS:
        raise InvalidRequest(f"{name} is the name of a built-in set; choose another name.")
    if not folder.strip():
        raise InvalidRequest("Say in which folder the images are.")
    if not Path(absolute(folder.strip())).is_dir():
        raise DatasetInvalid(f"There is no folder {absolute(folder.strip())} on this machine.")
    if labels.strip() and not Path(absolute(labels.strip())).is_file():
        raise DatasetInvalid(f"There is no label file {absolute(labels.strip())}.")
    try:
        return DatasetSpec(
            name=name,
            root=absolute(folder.strip()),
            labels=absolute(labels.strip()) if labels.strip() else None,
        )
    except ValueError as error:
        raise InvalidRequest(
            f"{name!r} is no name for a dataset: use letters, digits, dots, dashes and "
            f"underscores, at most 63, beginning with a letter or digit."
        ) from error


def add_form() -> None:
    """Name, folder, optional label file."""
    with st.form("add_dataset"):
        st.markdown("**Add a dataset**")
        name = st.text_input("Name", key="dataset_name", placeholder="imagenet-val")
        folder = st.text_input(
            "Folder on this machine", key="dataset_folder", placeholder="/data/imagenet/val"
        )
        labels = st.text_input(
            "Label file (optional)",
            key="dataset_labels",
            placeholder="/data/imagenet/val_label.txt",
            help="Lines of `file class-index`, for a flat folder of images.",
        )
        st.caption(
            "Recognised: a folder per class (named by WordNet id, as n01440764, or by anything), a "
            "flat folder of `nXXXXXXXX_*` files, or a flat folder with a label file. Every image "
            "is decoded once."
        )
        if st.form_submit_button("Add", type="primary", icon=":material/add:"):
            with guard():
                queue(checked_spec(name.strip(), folder, labels))


def builtin_sets(known: list[Dataset]) -> None:
    """Offers the built-in sets that were not drawn yet."""
    missing = [name for name in BUILTIN_DATASETS if name not in {row.name for row in known}]
    if not missing:
        return
    with st.container(border=True):
        st.markdown("**Built-in sets**")
        st.caption("Drawn by the workbench itself; the demo draws them when it needs them.")
        for name in missing:
            if st.button(f"Draw {name}", key=f"draw_{name}", icon=":material/brush:"):
                with guard():
                    queue(DatasetSpec.model_validate({"name": name, "builtin": name}))


def card(row: Dataset) -> None:
    """One dataset with its report."""
    report = row.report or {}
    corrupt = int(report.get("corrupt", 0))
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{escape_markdown(row.name)}**")
            if corrupt:
                st.badge(f"{plural(corrupt, 'image')} unreadable", color="orange")
            else:
                st.badge("every image decodes", color="green", icon=":material/check:")
        facts_table(
            {
                "images": f"{row.num_images:,}",
                "classes": f"{row.num_classes:,}, of which "
                f"{number(report.get('classes_present'), 0)} have images",
                "layout": row.layout,
                "folder": row.root,
                "SHA-256": short(row.digest),
                "registered": ago(row.created_at),
            },
            alt=f"Facts of dataset {row.name}",
        )
        if corrupt:
            unreadable(report, corrupt)


def unreadable(report: dict[str, Any], corrupt: int) -> None:
    """The files that cannot be read, by name."""
    listed = report.get("corrupt_files", [])
    with st.expander(f"{plural(corrupt, 'unreadable image')}, left out", expanded=corrupt <= 5):
        st.dataframe(
            {"file": [name for name, _ in listed], "why": [why for _, why in listed]},
            hide_index=True,
            alt="Images that cannot be read, with the reason",
        )
        if corrupt > len(listed):
            st.caption(f"The first {len(listed)} of {corrupt}.")


st.title("Datasets")
registered = queries.datasets()
left, right = st.columns([3, 2], gap="large")
with left:
    if not registered:
        st.info(
            "No dataset is registered yet. Accuracy needs one: add a folder of labelled images, "
            "such as the ImageNet validation set.",
            icon=":material/photo_library:",
        )
    for dataset in registered:
        card(dataset)
with right:
    add_form()
    builtin_sets(registered)

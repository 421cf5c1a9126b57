"""Page Datasets: registered datasets with their reports, and a form to add one."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard
from dashboard.components.common.notice import go_to, leave_notice
from dashboard.components.details.provenance import facts_table
from dashboard.formats import ago, escape_markdown, message, number, plural, short
from db.models import Dataset
from db.session import writing
from engine.datasets.class_lists import read_class_list
from engine.datasets.label_tables import read_label_table
from engine.datasets.registration import root_of
from engine.datasets.report import DatasetReport
from engine.errors import DatasetInvalid, InvalidRequest
from engine.jobs import dispatcher
from engine.jobs import queue as store
from engine.runs.compile import dataset_job
from engine.runs.request import BUILTIN_DATASETS
from engine.specs import DatasetSpec, absolute

BASES: dict[int | None, str] = {None: "auto", 0: "0", 1: "1"}


def queue(spec: DatasetSpec) -> None:
    """Queues the registration and opens page Jobs."""
    with writing(queries.url()) as session:
        job_id = store.submit(session, dataset_job(spec))
    dispatcher.ensure_dispatcher()
    leave_notice(f"Dataset {escape_markdown(spec.name)} is queued as job {job_id}.")
    go_to("app_pages/jobs.py")


def checked_spec(
    name: str,
    folder: str,
    labels: str,
    classes: str = "",
    columns: str = "",
    base: int | None = None,
) -> DatasetSpec:
    """The spec of the form's values. Raises InvalidRequest or DatasetInvalid for wrong values."""
    if name in BUILTIN_DATASETS:
        raise InvalidRequest(f"{name} is the name of a built-in dataset; choose another name.")
    if not folder.strip():
        raise InvalidRequest("Enter the folder of the images.")
    if not Path(absolute(folder.strip())).is_dir():
        raise DatasetInvalid(f"There is no folder {absolute(folder.strip())} on this machine.")
    label_columns = columns_of(columns) if columns.strip() else None
    files = {
        "label file": labels.strip() and absolute(labels.strip()),
        "class list": classes.strip() and absolute(classes.strip()),
    }
    for what, path in files.items():
        if path and not Path(path).is_file():
            raise DatasetInvalid(f"There is no {what} {path}.")
    validate_files(files["label file"], files["class list"], label_columns)
    try:
        return DatasetSpec(
            name=name,
            root=absolute(folder.strip()),
            labels=files["label file"] or None,
            label_columns=label_columns,
            label_base=base,
            classes=files["class list"] or None,
        )
    except ValueError as error:
        raise InvalidRequest(
            f"{name!r} is not a valid dataset name: use up to 63 letters, digits, dots, dashes and "
            f"underscores, starting with a letter or digit."
        ) from error


def columns_of(text: str) -> tuple[str, str]:
    """Parses `image, class`. Raises InvalidRequest for anything but two words."""
    words = [word.strip() for word in text.split(",")]
    if len(words) != 2 or not all(words):
        raise InvalidRequest(f"{text!r} is not two columns; enter e.g. `filename, class_id`.")
    return words[0], words[1]


def validate_files(labels: str, classes: str, columns: tuple[str, str] | None) -> None:
    """Reads the two (small) files, so that errors appear in the form rather than in a job."""
    if labels:
        read_label_table(Path(labels), columns)
    if classes:
        read_class_list(Path(classes))


def label_options() -> tuple[str, str, int | None]:
    """Widgets: class list, columns of the label file, number of the first class; all optional."""
    with st.expander("Classes and columns"):
        classes = st.text_input(
            "Class list (optional)",
            key="dataset_classes",
            placeholder="/data/classes.txt",
            help="The classes in the order of the model's outputs: one name per line, or JSON such "
            'as `{"0": ["n01440764", "tench"]}`.',
        )
        columns = st.text_input(
            "Columns with image and class (optional)",
            key="dataset_columns",
            placeholder="filename, class_id",
            help="Columns of the label file, by header or by number from 1. Empty: detected.",
        )
        base = st.selectbox(
            "First class number",
            list(BASES),
            format_func=BASES.__getitem__,
            key="dataset_base",
        )
    return classes, columns, base


def add_form() -> None:
    """The form: name, folder, optional label file and label options."""
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
            help="Lines of image and class (an index, a wnid or a name), a CSV, or JSON.",
        )
        classes, columns, base = label_options()
        st.caption(
            "Supported layouts: a folder per class (named by WordNet id such as n01440764, by "
            "number, or freely), a flat folder of `nXXXXXXXX_*` files, or images with a label "
            "file. Every image is decoded once."
        )
        if st.form_submit_button("Add", type="primary", icon=":material/add:"):
            with guard():
                queue(checked_spec(name.strip(), folder, labels, classes, columns, base))


def builtin_sets(known: list[Dataset]) -> None:
    """Buttons for the built-in datasets that do not exist yet."""
    missing = [name for name in BUILTIN_DATASETS if name not in {row.name for row in known}]
    if not missing:
        return
    with st.container(border=True):
        st.markdown("**Built-in datasets**")
        st.caption("Synthetic images, generated by the workbench; the demo needs them.")
        for name in missing:
            if st.button(f"Generate {name}", key=f"draw_{name}", icon=":material/brush:"):
                with guard():
                    queue(DatasetSpec(name=name, builtin=True))


def card(row: Dataset) -> None:
    """One dataset with its report."""
    report = DatasetReport.of(row)
    corrupt = report.corrupt
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{escape_markdown(row.name)}**")
            if corrupt:
                st.badge(f"{plural(corrupt, 'image')} unreadable", color="orange")
            else:
                st.badge("all images readable", color="green", icon=":material/check:")
        facts_table(
            {
                "images": f"{row.num_images:,}",
                "classes": f"{row.num_classes:,}, of which "
                f"{number(report.classes_present, 0)} have images",
                "layout": row.layout,
                "folder": root_of(row),
                "SHA-256": short(row.digest),
                "registered": ago(row.created_at),
            },
            alt=f"Facts of dataset {row.name}",
        )
        for text in report.notes:
            st.caption(message(text))
        if corrupt:
            unreadable(report, corrupt)


def unreadable(report: DatasetReport, corrupt: int) -> None:
    """The unreadable files, with reasons."""
    listed = report.corrupt_files
    with st.expander(f"{plural(corrupt, 'unreadable image')}, excluded", expanded=corrupt <= 5):
        st.dataframe(
            {"file": [name for name, _ in listed], "reason": [reason for _, reason in listed]},
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
            "No dataset is registered yet. Accuracy needs labeled images: add a folder, such as "
            "the ImageNet validation set.",
            icon=":material/photo_library:",
        )
    for dataset in registered:
        card(dataset)
with right:
    add_form()
    builtin_sets(registered)

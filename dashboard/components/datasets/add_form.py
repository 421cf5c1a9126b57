"""The form that adds a dataset: a folder of this machine, or a zip file that is dropped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard
from dashboard.components.common.notice import go_to, leave_notice
from dashboard.components.common.typed_paths import require_allowed
from dashboard.components.imports.files import dropped_file
from dashboard.components.jobs.fix import DATASET_KEY
from dashboard.components.run_form.files import mark_field
from dashboard.formats import escape_markdown, message, plural
from db.session import writing
from engine.datasets.archives import extract_dataset
from engine.datasets.available import look_at_folder
from engine.datasets.class_lists import read_class_list
from engine.datasets.label_tables import read_label_table
from engine.errors import DatasetInvalid, InvalidRequest, WorkbenchError
from engine.jobs import dispatcher
from engine.jobs import queue as store
from engine.runs.compile import dataset_job
from engine.runs.request import BUILTIN_DATASETS
from engine.specs import DatasetSpec, absolute

BASES: dict[int | None, str] = {None: "auto", 0: "0", 1: "1"}
UPLOAD = "dataset_zip"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


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
    for path in filter(None, (folder.strip(), labels.strip(), classes.strip())):
        require_allowed(path)
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


def fill_in(spec: dict[str, Any]) -> None:
    """Sets the widgets from a registration that failed."""
    st.session_state.update(
        dataset_name=spec["name"],
        dataset_folder=spec.get("root") or "",
        dataset_labels=spec.get("labels") or "",
        dataset_classes=spec.get("classes") or "",
        dataset_columns=", ".join(spec.get("label_columns") or ()),
        dataset_base=spec.get("label_base"),
    )


def uploaded_folder() -> str | None:
    """The uploader for a zip of the folder; the folder it was extracted to."""
    archive = dropped_file(
        "Drop the folder as a zip file",
        UPLOAD,
        ("zip",),
        "a zip file",
        "It is extracted into the data folder of the workbench. A larger folder is added by path.",
    )
    if archive is None:
        return None
    with st.spinner("Extracting"):
        folder = extract_dataset(archive)
    archive.unlink(missing_ok=True)  # its images are in the folder now
    st.session_state.update(
        {f"{UPLOAD}_folder": str(folder), f"{UPLOAD}_name": Path(archive.name).stem}
    )
    return str(folder)


def suggested_name(folder: str) -> str:
    """The name of a dataset where none is entered: of its zip file, else of its folder."""
    state = st.session_state
    uploaded = folder and folder == state.get(f"{UPLOAD}_folder")
    name = state[f"{UPLOAD}_name"] if uploaded else Path(folder.strip()).name
    return _NOT_IN_NAMES.sub("-", name).strip("-._")[:63]


def show_layout(given: tuple[Any, ...]) -> None:
    """What is in the folder, before its images are decoded; or why it cannot be added."""
    try:
        layout = look_at_folder(checked_spec("looked-at", *given))
    except WorkbenchError as error:
        mark_field(str(error))
        return
    images, classes = plural(len(layout.files), "image"), len(layout.class_names)
    st.caption(
        message(f"Found: {layout.name}, {images}, {classes:,} class{'es' * (classes != 1)}.")
    )
    for note in layout.notes:
        st.caption(message(note))


def add_form() -> None:
    """The form: folder or zip file, name, optional label file and label options."""
    failed = st.session_state.pop(DATASET_KEY, None)
    if failed is not None:
        fill_in(failed)
    with st.container(border=True):
        st.markdown("**Add a dataset**")
        uploaded = None
        with guard():
            uploaded = uploaded_folder()
        if uploaded is not None:
            st.session_state["dataset_folder"] = uploaded
        folder = st.text_input(
            "Or the folder on this machine",
            key="dataset_folder",
            placeholder="/data/imagenet/val",
            persist_state="session",
        )
        suggested = suggested_name(folder)
        name = st.text_input(
            "Name",
            key="dataset_name",
            placeholder=suggested or "imagenet-val",
            persist_state="session",
        )
        labels = st.text_input(
            "Label file (optional)",
            key="dataset_labels",
            placeholder="/data/imagenet/val_label.txt",
            help="Lines of image and class (an index, a wnid or a name), a CSV, or JSON.",
        )
        classes, columns, base = label_options()
        given = (folder, labels, classes, columns, base)
        if folder.strip():
            show_layout(given)
        st.caption(
            "Supported layouts: a folder per class (named by WordNet id such as n01440764, by "
            "number, or freely), a flat folder of `nXXXXXXXX_*` files, or images with a label "
            "file. Every image is decoded once."
        )
        if st.button("Add", key="add_dataset", type="primary", icon=":material/add:"):
            with guard():
                queue(checked_spec(name.strip() or suggested, *given))

"""Import of predictions: a file, what its columns are, facts about it, a preview, the import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard
from dashboard.components.common.notice import go_to, leave_notice
from dashboard.components.common.typed_paths import require_allowed
from dashboard.components.imports.files import dropped_file, forget_file
from dashboard.formats import escape_markdown, message
from db.enums import Precision
from engine.catalog.models import catalog
from engine.common.files import expand_user
from engine.common.stats import wilson_interval
from engine.config import settings
from engine.datasets.label_files import LabelOptions
from engine.errors import InvalidRequest, WorkbenchError
from engine.imports.evaluation import (
    Examined,
    OutsideEvaluation,
    examine,
    import_evaluation,
)
from engine.imports.mapping import ROLES, detect_roles, write_mapped
from engine.imports.tables import Columns, read_columns
from engine.specs.precisions import precision_names
from engine.vacc.output_folder import write_folder_predictions
from engine.vacc.result_file import write_predictions

TYPES = ("npz", "npy", "csv", "parquet", "txt", "zip")
LABEL_TYPES = ("txt", "csv", "json")
NONE = "–"
SHOWN_ROWS = 5
KEY = "predictions"


def import_predictions() -> None:
    """The whole form; nothing is recorded before the button."""
    file = dropped_file(
        "Predictions: npz, npy, CSV, Parquet, the result file (txt) of vamp_npz_decode, or a zip "
        "of one npz per image",
        KEY,
        TYPES,
        "a file of predictions",
        "One row per image: the class indices of the top-5, best first, or a score per class.",
    )
    if file is None:
        file = outputs_folder()
    if file is None:
        st.caption("Accuracy is computed here, per image, from the predictions and the labels.")
        return
    with guard():
        mapped = choose_columns(file)
        outside = describe(mapped)
        if outside is not None:
            preview_and_import(outside)


def outputs_folder() -> Path | None:
    """The folder of outputs of a vendor's tool, one npz file per image; None where none is given.

    A folder that may not be read, or does not exist, is said below the field.
    """
    text = st.text_input(
        "Or a folder on this machine with one npz file per image",
        key="import_folder",
        persist_state="session",
        placeholder="/results/npz",
        help="The outputs of vamp: output_0 holds the scores of an image.",
    )
    typed = (text or "").strip()
    if not typed:
        return None
    with guard():
        folder = expand_user(require_allowed(typed))
        if not folder.is_dir():
            raise InvalidRequest(f"There is no folder {typed} on this machine.")
        return folder
    return None


@st.cache_data(show_spinner="Reading outputs", max_entries=4)
def _read_outputs(source: str, home: str, changed_ns: int) -> Path | str:
    """The predictions of a folder or zip file as one file, or the sentence why not."""
    try:
        return write_folder_predictions(Path(source))
    except WorkbenchError as error:
        return str(error)


def choose_columns(file: Path) -> Path:
    """What each column is; returns a file that the import reads as it is."""
    if file.is_dir() or file.suffix.lower() == ".zip":
        found = _read_outputs(str(file), str(settings().home), file.stat().st_mtime_ns)
        if isinstance(found, str):
            raise InvalidRequest(found)
        show_rows(read_columns(found))
        return found
    folder = file.parent / "mapped"
    if file.suffix.lower() == ".txt":
        return write_predictions(file, folder)
    columns = read_columns(file)
    detected = detect_roles(columns)
    options = [NONE, *columns]
    chosen: dict[str, str] = {}
    st.markdown("**Columns**")
    with st.grid(3, min_column_width=200):
        for role, (label, _) in ROLES.items():
            default = detected.get(role, NONE)
            name = st.selectbox(
                label,
                options,
                index=options.index(default),
                format_func=lambda name: _column_text(columns, name),
                key=f"column_{role}_{file.parent.name[:12]}",
                persist_state="session",
            )
            if name != NONE:
                chosen[role] = str(name)
    show_rows(columns)
    return file if chosen == detected and detected else write_mapped(file, chosen, folder)


def _column_text(columns: Columns, name: str) -> str:
    if name not in columns:
        return NONE
    shape = " × ".join(f"{side:,}" for side in columns[name].shape)
    return f"{name} ({shape}, {columns[name].dtype.name})"


def show_rows(columns: Columns) -> None:
    """The first rows of the file."""
    rows = {
        name: [_cell(value) for value in values[:SHOWN_ROWS]] for name, values in columns.items()
    }
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="The first rows of the file")


def _cell(value: Any) -> str:
    flat = np.atleast_1d(value).ravel()
    shown = ", ".join(str(one) for one in flat[:5].tolist())
    return shown + (", …" if flat.size > 5 else "")


def describe(file: Path) -> OutsideEvaluation | None:
    """Model, precision, origin and images; None until all are given."""
    st.markdown("**What was measured**")
    left, middle, right = st.columns([2, 1, 2])
    model = left.selectbox(
        "Model",
        list(catalog()),
        index=None,
        accept_new_options=True,
        key="import_model",
        persist_state="session",
        placeholder="timm/seresnet50",
    )
    precision = middle.selectbox(
        "Precision", precision_names(), key="import_precision", persist_state="session"
    )
    source = right.text_input(
        "Origin: device, tool, version",
        key="import_source",
        persist_state="session",
        placeholder="card X, driver 1.2",
    )
    left, middle, right = st.columns([2, 1, 2])
    dataset = left.selectbox(
        "Dataset",
        [row.name for row in queries.datasets()],
        index=None,
        accept_new_options=True,
        key="import_dataset",
        persist_state="session",
        placeholder="a registered dataset, or a name",
    )
    per_class = middle.number_input(
        "Images per class",
        min_value=1,
        value=None,
        step=1,
        key="import_per_class",
        persist_state="session",
        help="For images that are not registered and are sorted by class, such as 50 for ImageNet.",
    )
    with right:
        labels = dropped_file(
            "Label file (optional)",
            "import_labels",
            LABEL_TYPES,
            "a label file",
            "For images that are not registered, in the format of the page Datasets.",
        )
    background = st.checkbox(
        "Output 0 is a background class (1001 outputs)",
        key="import_background",
        persist_state="session",
    )
    if not (model and precision and source and source.strip() and dataset):
        st.info("Enter model, precision, origin and dataset for a preview.", icon=":material/edit:")
        return None
    return OutsideEvaluation(
        file=file,
        model_id=str(model),
        precision=Precision(precision),
        source=source.strip(),
        dataset=str(dataset),
        labels=LabelOptions(file=labels),
        per_class=None if per_class is None else int(per_class),
        background=0 if background else None,
    )


@st.cache_data(show_spinner="Reading predictions", max_entries=4)
def _examined(_outside: OutsideEvaluation, url: str, home: str, facts: str) -> Examined | str:
    """What would be imported, or the sentence why not; cached by all facts."""
    try:
        return examine(_outside, url)
    except WorkbenchError as error:
        return str(error)


def preview_and_import(outside: OutsideEvaluation) -> None:
    """Accuracy as it would be recorded, and the button that records it."""
    datasets = tuple((row.name, row.digest) for row in queries.datasets())
    facts = repr((outside, outside.file.stat().st_mtime_ns, datasets))
    found = _examined(outside, queries.url(), str(settings().home), facts)
    if isinstance(found, str):
        st.error(message(found), icon=":material/error:")
        return
    with st.container(border=True):
        st.markdown(f"**Preview** · {escape_markdown(accuracy_text(found))}")
        for note in (*found.images.notes, found.matching.assumed):
            if note:
                st.caption(message(note))
        if found.at_chance:
            st.warning("This accuracy is at chance level: check the classes and the labels.")
        if st.button("Import", key="import_now", type="primary", icon=":material/download_done:"):
            _record(outside)


def accuracy_text(found: Examined) -> str:
    """`50,000 images of imagenet-val, top-1 77.64 % (77.27 to 78.00), top-5 93.75 %`."""
    top1, top5 = found.columns.counts()
    images = len(found.columns)
    text = f"{images:,} images of {found.images.dataset_name}"
    if top1 is None:
        return f"{text}, no labels"
    low, high = wilson_interval(top1, images)
    text += f", top-1 {100 * top1 / images:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
    return text + ("" if top5 is None else f", top-5 {100 * top5 / images:.2f} %")


def _record(outside: OutsideEvaluation) -> None:
    try:
        row, existed = import_evaluation(outside, queries.url())
    except InvalidRequest as error:  # such as a model that does not exist
        st.error(message(str(error)), icon=":material/error:")
        return
    forget_file(KEY)
    again = " It was imported before." if existed else ""
    leave_notice(f"Imported as evaluation {row.id}.{again}")
    go_to("app_pages/results.py")

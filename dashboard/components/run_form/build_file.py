"""vamc build files on the pages: upload to prefill New run, download of a build."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from dashboard import queries
from dashboard.components.common.typed_paths import is_allowed, require_allowed
from dashboard.components.run_form.options import AUTOMATIC
from dashboard.components.run_form.prefill import widget_values
from dashboard.formats import escape_markdown, message
from db.enums import ArtifactKind
from db.models import Artifact
from db.session import writing
from engine.common.files import expand_user
from engine.errors import InvalidRequest, WorkbenchError
from engine.jobs import dispatcher, queue
from engine.runs.compile import dataset_job
from engine.specs import DatasetSpec
from engine.vacc.build_file import BuildFile, parse_build_file
from engine.vacc.build_text import build_file_text
from engine.vacc.requests import (
    calibration_dataset,
    fill_request,
    relative_paths,
    with_folder,
)
from engine.vacc.yaml_text import MAX_BYTES, parse_yaml

_UPLOAD_ID, _REMARKS, _IMAGES = "build_file_seen", "build_file_remarks", "build_file_images"
_PARSED, _FOLDER, _REFUSED = "build_file_parsed", "build_file_folder", "build_file_refused"


def fill_from_build_file() -> str | None:
    """An upload that fills the form below it, with remarks on keys that have no effect here.

    Returns why the form does not show the uploaded file; None where it does.
    """
    with st.expander("Import a vamc build file", icon=":material/upload_file:"):
        st.caption("YAML file of the vendor's tool chain, either schema.")
        uploaded = st.file_uploader(
            "Build file",
            type=["yaml", "yml"],
            key="build_file",
            label_visibility="collapsed",
            max_upload_size=1,  # MB, the least; engine.vacc.yaml_text holds it to MAX_BYTES
        )
        if uploaded is None:
            return None
        if uploaded.file_id != st.session_state.get(_UPLOAD_ID):
            st.session_state[_UPLOAD_ID] = uploaded.file_id
            _read(uploaded.name, uploaded.getvalue())
        _ask_for_folder()
        _show_remarks()
        _show_calibration_images()
        refused: str | None = st.session_state.get(_REFUSED)
        return refused


def _read(name: str, data: bytes) -> None:
    """Parses an upload and fills the form; one that cannot be parsed is refused."""
    st.session_state.update({_REMARKS: [], _IMAGES: None, _PARSED: None, _REFUSED: None})
    try:
        parsed = parse_build_file(parse_yaml(_decode(name, data), name), name)
    except WorkbenchError as error:
        st.session_state[_REMARKS] = [("error", str(error))]
        st.session_state[_REFUSED] = f"{name} does not fill in the form: correct or remove it."
        return
    st.session_state[_PARSED] = (name, parsed)
    _fill()


def _fill() -> None:
    """Sets the widgets from the parsed file, before they are drawn; what is missing is a remark."""
    if st.session_state.get(_PARSED) is None:
        return
    name, parsed = st.session_state[_PARSED]
    folder = (st.session_state.get(_FOLDER) or "").strip()
    try:
        if folder:
            parsed = with_folder(parsed, expand_user(require_allowed(folder)))
        filled = fill_request(parsed)
    except WorkbenchError as error:
        st.session_state[_REMARKS] = [("error", str(error))]
        return
    except ValidationError as error:
        st.session_state[_REMARKS] = [("error", f"{name}: {error.errors()[0]['msg']}.")]
        return
    st.session_state.update(widget_values(filled.request))
    images, missing = calibration_dataset(parsed), list(filled.missing)
    if images is not None and not is_allowed(str(images.root)):
        missing.append(
            f"The calibration images {images.root} may not be read: with a login, only folders of "
            f"SENET_DATA_ROOTS may. Select a calibration dataset."
        )
        images = None
        st.session_state[f"calibrate_for_{st.session_state.get('from')}"] = AUTOMATIC
    if images is not None and not expand_user(str(images.root)).is_dir():
        missing.append(
            f"The folder of the calibration images, {parsed.dataset}, is not on this machine: "
            f"enter the folder that its path counts from, or select a calibration dataset."
        )
        images = None
        st.session_state[f"calibrate_for_{st.session_state.get('from')}"] = AUTOMATIC
    st.session_state[_IMAGES] = images
    notes = [("missing", text) for text in missing] + [("note", text) for text in filled.remarks]
    st.session_state[_REMARKS] = [*build_file_remarks(parsed, name), *notes]


def _ask_for_folder() -> None:
    """The folder that relative paths of the file count from; asked where there are any."""
    if st.session_state.get(_PARSED) is None:
        return
    _, parsed = st.session_state[_PARSED]
    paths = relative_paths(parsed)
    if paths:
        st.text_input(
            "Folder that the paths of the file count from",
            key=_FOLDER,
            persist_state="session",
            placeholder="/projects/models",
            on_change=_fill,
            help=f"For {escape_markdown(' and '.join(paths))}.",
        )


def _decode(name: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"{name} is not a build file: it has over {MAX_BYTES / 1e6:.0f} MB.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} is not a text file.") from error


def build_file_remarks(build_file: BuildFile, name: str) -> list[tuple[str, str]]:
    """(kind, sentence): success, warnings, and keys without effect here.

    `name` is that of the file.
    """
    remarks = [("warning", text) for text in build_file.warnings]
    remarks += [("ignored", text) for text in build_file.ignored]
    return [("success", f"Filled in from {name}."), *remarks]


def _show_remarks() -> None:
    remarks: list[tuple[str, str]] = st.session_state.get(_REMARKS, [])
    elements = (
        ("error", st.error),
        ("success", st.success),
        ("missing", st.error),
        ("note", st.info),
        ("warning", st.warning),
    )
    for kind, show in elements:
        for text in (text for remark_kind, text in remarks if remark_kind == kind):
            show(escape_markdown(text))
    ignored = [escape_markdown(text) for kind, text in remarks if kind == "ignored"]
    if ignored:
        st.caption("No effect here:  \n" + "  \n".join(ignored))


def _show_calibration_images() -> None:
    images: DatasetSpec | None = st.session_state.get(_IMAGES)
    if images is None:
        return
    if images.name in queries.available_datasets():
        key = f"calibrate_for_{st.session_state.get('from')}"
        st.session_state[key] = images.name
        st.session_state[_IMAGES] = None
        st.caption(f"Calibration dataset: {escape_markdown(images.name)}.")
        return
    count = images.calibration_images
    root = escape_markdown(str(images.root))
    st.caption(f"The build file calibrates on {count} images of {root}.")
    if st.button("Register these images", key="build_file_register", icon=":material/add:"):
        with writing(queries.url()) as session:
            job_id = queue.submit(session, dataset_job(images))
        dispatcher.ensure_dispatcher()
        st.caption(f"Job {job_id} registers them; they can be selected here already.")


def show_build_file_download(artifact: Artifact | None) -> None:
    """A button that downloads a build as a vamc build file."""
    if artifact is None or artifact.kind != ArtifactKind.BUILD:
        return
    try:
        text = build_file_text(artifact)
    except WorkbenchError as error:
        st.caption(message(str(error)))
        return
    name = f"{artifact.model_id.replace('/', '_')}_{artifact.precision}.yaml"
    st.download_button(
        "vamc build file",
        data=text,
        file_name=name,
        mime="application/yaml",
        key="build_file_download",
        icon=":material/download:",
        on_click="ignore",
        help="YAML file of the vendor's tool chain for the same build.",
    )

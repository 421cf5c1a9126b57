"""vamc build files on the pages: upload to prefill New run, download of a build."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from dashboard import queries
from dashboard.components.run_form.prefill import widget_values
from dashboard.formats import escape_markdown, message
from db.enums import ArtifactKind
from db.models import Artifact
from db.session import writing
from engine.errors import InvalidRequest, WorkbenchError
from engine.jobs import dispatcher, queue
from engine.runs.compile import dataset_job
from engine.specs import DatasetSpec
from engine.vacc.build_file import BuildFile, parse_build_file
from engine.vacc.build_text import build_file_text
from engine.vacc.requests import build_request, calibration_dataset
from engine.vacc.yaml_text import MAX_BYTES, parse_yaml

_UPLOAD_ID, _REMARKS, _IMAGES = "build_file_seen", "build_file_remarks", "build_file_images"


def fill_from_build_file() -> None:
    """An upload that prefills the form below it, with remarks on keys that have no effect here."""
    with st.expander("Import a vamc build file", icon=":material/upload_file:"):
        st.caption(
            "YAML file of the vendor's tool chain, either schema. Its paths must exist on this "
            "machine."
        )
        uploaded = st.file_uploader(
            "Build file", type=["yaml", "yml"], key="build_file", label_visibility="collapsed"
        )
        if uploaded is not None and uploaded.file_id != st.session_state.get(_UPLOAD_ID):
            st.session_state[_UPLOAD_ID] = uploaded.file_id
            _prefill(uploaded.name, uploaded.getvalue())
        if uploaded is not None:
            _show_remarks()
            _show_calibration_images()


def _prefill(name: str, data: bytes) -> None:
    """Sets the widgets from the file, before they are drawn; errors become remarks."""
    st.session_state[_REMARKS], st.session_state[_IMAGES] = [], None
    try:
        build_file = parse_build_file(parse_yaml(_decode(name, data), name), name)
        converted = build_request(build_file)
    except WorkbenchError as error:
        st.session_state[_REMARKS] = [("error", str(error))]
        return
    except ValidationError as error:
        st.session_state[_REMARKS] = [("error", f"{name}: {error.errors()[0]['msg']}.")]
        return
    st.session_state.update(widget_values(converted.request))
    st.session_state[_IMAGES] = calibration_dataset(build_file)
    notes = [("note", text) for text in converted.remarks]
    st.session_state[_REMARKS] = [*build_file_remarks(build_file), *notes]


def _decode(name: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"{name} is not a build file: it has over {MAX_BYTES / 1e6:.0f} MB.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} is not a text file.") from error


def build_file_remarks(build_file: BuildFile) -> list[tuple[str, str]]:
    """(kind, sentence): success, warnings, and keys without effect here."""
    remarks = [("warning", text) for text in build_file.warnings]
    remarks += [("ignored", text) for text in build_file.ignored]
    return [("success", f"Prefilled from {build_file.name}."), *remarks]


def _show_remarks() -> None:
    remarks: list[tuple[str, str]] = st.session_state.get(_REMARKS, [])
    elements = (
        ("error", st.error),
        ("success", st.success),
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
    registered = {row.name for row in queries.datasets()}
    if images.name in registered:
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
        st.caption(f"Job {job_id} registers them; they are selected here when it has finished.")


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

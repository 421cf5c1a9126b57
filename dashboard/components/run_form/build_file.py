"""vamc build files on the pages: one fills the form of New run, and every build can become one."""

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

_SEEN, _REMARKS, _IMAGES = "build_file_seen", "build_file_remarks", "build_file_images"


def fill_from_build_file() -> None:
    """An upload that fills the form below it, and says what of the file has no effect here."""
    with st.expander("From a vamc build file", icon=":material/upload_file:"):
        st.caption(
            "A YAML file of the vendor's tool chain, of either schema. Its paths are looked for on "
            "this machine."
        )
        uploaded = st.file_uploader(
            "Build file", type=["yaml", "yml"], key="build_file", label_visibility="collapsed"
        )
        if uploaded is not None and uploaded.file_id != st.session_state.get(_SEEN):
            st.session_state[_SEEN] = uploaded.file_id
            _take(uploaded.name, uploaded.getvalue())
        if uploaded is not None:
            _say_remarks()
            _offer_images()


def _take(name: str, data: bytes) -> None:
    """Reads the file into the widgets, which are drawn after this; errors become remarks."""
    st.session_state[_REMARKS], st.session_state[_IMAGES] = [], None
    try:
        asked = parse_build_file(parse_yaml(_text_of(name, data), name), name)
        found = build_request(asked)
    except WorkbenchError as error:
        st.session_state[_REMARKS] = [("error", str(error))]
        return
    except ValidationError as error:
        st.session_state[_REMARKS] = [("error", f"{name}: {error.errors()[0]['msg']}.")]
        return
    st.session_state.update(widget_values(found.request))
    st.session_state[_IMAGES] = calibration_dataset(asked)
    told = [("told", text) for text in found.remarks]
    st.session_state[_REMARKS] = [*remarks_of(asked), *told]


def _text_of(name: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"{name} has over {MAX_BYTES / 1e6:.0f} MB: it is no build file.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} is no text file.") from error


def remarks_of(asked: BuildFile) -> list[tuple[str, str]]:
    """(kind, sentence) on all that the file asks for and that is different here."""
    said = [("warning", text) for text in asked.warnings]
    said += [("ignored", text) for text in asked.ignored]
    return [("filled", f"Filled in from {asked.name}."), *said]


def _say_remarks() -> None:
    remarks: list[tuple[str, str]] = st.session_state.get(_REMARKS, [])
    shown = (
        ("error", st.error),
        ("filled", st.success),
        ("told", st.info),
        ("warning", st.warning),
    )
    for kind, show in shown:
        for text in (text for of_kind, text in remarks if of_kind == kind):
            show(escape_markdown(text))
    ignored = [escape_markdown(text) for kind, text in remarks if kind == "ignored"]
    if ignored:
        st.caption("Of no effect here:  \n" + "  \n".join(ignored))


def _offer_images() -> None:
    images: DatasetSpec | None = st.session_state.get(_IMAGES)
    if images is None:
        return
    registered = {row.name for row in queries.datasets()}
    if images.name in registered:
        key = f"calibrate_for_{st.session_state.get('from')}"
        st.session_state[key] = images.name
        st.session_state[_IMAGES] = None
        st.caption(f"int8 is calibrated on {escape_markdown(images.name)}.")
        return
    count = images.calibration_images
    st.caption(f"It calibrates on {count} images of {escape_markdown(str(images.root))}.")
    if st.button("Register these images", key="build_file_register", icon=":material/add:"):
        with writing(queries.url()) as session:
            job_id = queue.submit(session, dataset_job(images))
        dispatcher.ensure_dispatcher()
        st.caption(f"Job {job_id} registers them; they are chosen here once it is done.")


def offer_build_file(artifact: Artifact | None) -> None:
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
        help="The same build, as a YAML file of the vendor's tool chain.",
    )

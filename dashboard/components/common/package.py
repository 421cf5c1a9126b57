"""The package of a build: copyable code, the command, and a download."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import streamlit as st

from dashboard import queries
from dashboard.formats import escape_markdown
from db.models import Artifact
from engine.common.program import program
from engine.config import settings
from engine.errors import WorkbenchError
from engine.preprocess import PreprocessSpec
from engine.results.package import package_name, package_runtime, snippet, write_package
from engine.results.package.archive import snippet_facts
from engine.store.artifacts import model_path, preprocess_of
from engine.text import size

MAX_DOWNLOAD_BYTES = 100_000_000
"""Streamlit holds a download whole in memory: a larger package is written to the data folder."""


def package_popover(artifact: Artifact, key: str, runtime: str | None = None) -> None:
    """A button that opens the package of a build; `runtime`: that of its measurement."""
    with st.popover("Download package", icon=":material/package_2:", key=f"package_{key}"):
        try:
            path = model_path(artifact.digest)
            chosen = _runtime_of(artifact, runtime)
            spec = preprocess_of(artifact)
        except WorkbenchError as error:
            st.caption(escape_markdown(str(error)))
            return
        _show(artifact, chosen, path, spec, key)


def _runtime_of(artifact: Artifact, runtime: str | None) -> str:
    """The runtime of the measurement where a package can be made for it, else the default one."""
    try:
        return package_runtime(artifact, runtime)
    except WorkbenchError:
        return package_runtime(artifact)


def _show(artifact: Artifact, runtime: str, path: Path, spec: PreprocessSpec, key: str) -> None:
    large = path.stat().st_size > MAX_DOWNLOAD_BYTES
    st.markdown(f"Model, preprocessing, labels and a script as a zip, {size(path.stat().st_size)}.")
    with st.container(horizontal=True):
        st.download_button(
            "Zip",
            data=partial(_packed, artifact, runtime),
            file_name=package_name(artifact, runtime),
            mime="application/zip",
            key=f"package_zip_{key}",
            icon=":material/download:",
            on_click="ignore",
            disabled=large,
        )
        st.download_button(
            "Model file",
            data=path.read_bytes if not large else b"",
            file_name=f"{package_name(artifact, runtime).removesuffix('.zip')}.onnx",
            mime="application/octet-stream",
            key=f"package_model_{key}",
            icon=":material/download:",
            on_click="ignore",
            disabled=large,
        )
    if large:
        _write_here(artifact, runtime, key)
    name = f"{artifact.model_id}:{artifact.precision}"
    st.code(f"{program()} package {artifact.digest[:12]} -r {runtime}  # {name}", language="bash")
    st.caption("`classify.py`, which needs numpy, Pillow and the runtime:")
    st.code(snippet(spec, snippet_facts(artifact, runtime)), language="python", height=320)


def _write_here(artifact: Artifact, runtime: str, key: str) -> None:
    """A button that writes a large package to the data folder, without holding it in memory."""
    st.caption(
        f"Over {size(MAX_DOWNLOAD_BYTES)}: a browser download would hold it in memory. Write it to "
        "the data folder of the machine that runs this page, or use the command below."
    )
    if not st.button("Write it there", key=f"package_write_{key}", icon=":material/save:"):
        return
    path = settings().folder("packages") / package_name(artifact, runtime)
    try:
        with st.spinner("Writing the package."):
            write_package(artifact, path, queries.url(), runtime)
    except WorkbenchError as error:
        st.error(escape_markdown(str(error)))
        return
    st.success(f"Written: `{path}` ({size(path.stat().st_size)}).")


def _packed(artifact: Artifact, runtime: str) -> bytes:
    with tempfile.TemporaryDirectory(dir=settings().folder("tmp")) as folder:
        path = Path(folder) / package_name(artifact, runtime)
        write_package(artifact, path, queries.url(), runtime)
        return path.read_bytes()

"""The errors of each layer of an int8 build against fp32: in the file, and in each runtime."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.jobs.single import show_job
from dashboard.formats import escape_markdown, message
from db.models import Artifact, Dataset
from engine.layer_errors.findings import computes_otherwise
from engine.layer_errors.records import LayerErrors, load_layer_errors
from engine.layer_errors.requests import has_integer_layers
from engine.runs.compile import layers_job
from engine.runtimes.registry import label_of
from engine.specs import LayersSpec
from engine.store.manifest import BuildManifest

DECIBEL = "%.1f"
MAX_FINDINGS = 5


def show_layer_errors(artifact: Artifact | None) -> None:
    """Findings and a sortable table of a build with integer layers; nothing for other builds."""
    if artifact is None or not has_integer_layers(artifact):
        return
    with st.expander("Layer errors: fp32, int8 file, runtimes", icon=":material/difference:"):
        errors = load_layer_errors(artifact.digest)
        if errors is None:
            st.markdown(
                "Compares each layer with fp32: as the int8 file says (emulated), and as each "
                "runtime computes it."
            )
        else:
            _findings(errors)
            table = errors_table(errors)
            st.dataframe(
                table,
                column_config=columns_of(errors),
                hide_index=True,
                placeholder="–",
                key="layer_errors",
                alt="Layer errors of the int8 build, one row per tensor, in graph order",
            )
            _explain(errors)
        _measure_button(artifact, errors is not None)


def errors_table(errors: LayerErrors) -> pd.DataFrame:
    """One row per tensor in graph order; figures of a runtime have its name before them."""
    rows = []
    for one in errors.tensors:
        row: dict[str, Any] = {
            "layer": one.name,
            "operator": one.op,
            "SE": one.se_role or None,
            "note": "clipped on purpose" if one.saturates else None,
            "precision": one.precision,
            "rounding": one.rounding_db,
            "file single": one.single_db,
            "file accumulated": one.accumulated_db,
        }
        for name in errors.runtimes:
            found = one.runtimes.get(name)
            row |= {
                f"{name} single": found.single_db if found else None,
                f"{name} accumulated": found.accumulated_db if found else None,
                f"{name} differing": found.differing if found else None,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def columns_of(errors: LayerErrors) -> dict[str, Any]:
    """The titles and formats of the table."""
    number = st.column_config.NumberColumn
    columns: dict[str, Any] = {
        "layer": st.column_config.TextColumn("layer", pinned=True),
        "operator": st.column_config.TextColumn("operator", width=140),
        "rounding": number(
            "rounding (dB)", format=DECIBEL, help="fp32 values stored with the scale of the file."
        ),
        "file single": number(
            "file: single (dB)", format=DECIBEL, help="This layer alone, from exact inputs."
        ),
        "file accumulated": number(
            "file: accumulated (dB)",
            format=DECIBEL,
            help="With the errors of all layers before it.",
        ),
        "note": st.column_config.TextColumn(
            "note",
            help="Clipped on purpose: a hard gate reads the tensor and is constant where it is "
            "clipped, so a low SQNR is no loss there.",
        ),
    }
    for name in errors.runtimes:
        label = label_of(name)
        columns |= {
            f"{name} single": number(f"{label}: single (dB)", format=DECIBEL),
            f"{name} accumulated": number(f"{label}: accumulated (dB)", format=DECIBEL),
            f"{name} differing": number(
                f"{label}: differing",
                format="percent",
                help="Values more than one level from the file, from the same inputs.",
            ),
        }
    return columns


def _findings(errors: LayerErrors) -> None:
    for reason in errors.missing.values():
        st.caption(message(reason))
    if not errors.findings:
        st.success("No layer is wrong in the file or in a runtime.", icon=":material/check:")
        return
    shown = [f"- {message(sentence)}" for sentence in errors.findings[:MAX_FINDINGS]]
    left = len(errors.findings) - len(shown)
    rest = f"\n- {left} more in `senet layers`" if left > 0 else ""
    st.warning("\n".join(shown) + rest, icon=":material/warning:")


def _explain(errors: LayerErrors) -> None:
    versions = ", ".join(f"{label_of(n)} {version}" for n, version in errors.runtimes.items())
    exact = all(
        not computes_otherwise(found) for one in errors.tensors for found in one.runtimes.values()
    )
    agree = ""
    if exact and errors.runtimes:
        agree = " From the same inputs the runtimes compute each layer as the file says."
        if not errors.findings:
            agree += (
                " Accumulated columns may differ: where a value lies between two levels, runtimes "
                "round it to either, and later layers amplify that."
            )
    st.caption(
        f"SQNR in dB, higher is better; {errors.images} images of "
        f"{escape_markdown(errors.dataset)}; {versions}.{agree}"
    )
    if not errors.has_reference:
        st.caption(
            "fp32 is not known for this build: it comes from a quantized file, or was built by an "
            "earlier version (build it again)."
        )


def _measure_button(artifact: Artifact, again: bool) -> None:
    dataset = _dataset_for(artifact)
    if dataset is None:
        st.caption("To measure them, register a dataset with the classes of the model.")
        return
    spec = LayersSpec(artifact=artifact.digest, dataset=dataset.name, dataset_digest=dataset.digest)
    show_job(
        layers_job(spec, artifact.model_id),
        key="measure_layer_errors",
        label="Measure again" if again else f"Measure on {spec.images} images",
        icon=":material/troubleshoot:",
        about="the errors",
        failed="The layer errors could not be measured.",
    )


def _dataset_for(artifact: Artifact) -> Dataset | None:
    """The calibration dataset of the build, else the first with its classes."""
    calibration = BuildManifest.from_artifact(artifact).build.calibration
    registered = queries.datasets()
    named = [row for row in registered if calibration and row.name == calibration.dataset]
    return next(
        iter(named or [row for row in registered if queries.has_same_classes(artifact, row)]), None
    )

"""How much top-1 of an int8 build depends on its calibration images: the spread over draws."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.jobs.single import show_job
from dashboard.formats import escape_markdown, message
from db.models import Artifact, Dataset
from engine.calibration_draws.records import CalibrationDraws, load_draws
from engine.calibration_draws.requests import calibration_of, require_draws
from engine.errors import InvalidRequest
from engine.runs.compile import draws_job
from engine.runtimes.registry import label_of
from engine.specs import DrawsSpec
from engine.store.manifest import BuildManifest


def show_calibration_draws(artifact: Artifact | None) -> None:
    """The counts of each draw, and the button that makes them; nothing for other builds."""
    if artifact is None or BuildManifest.from_artifact(artifact).build.calibration is None:
        return
    with st.expander("Calibration draws: spread of top-1 (int8)", icon=":material/casino:"):
        draws = load_draws(artifact.digest)
        if draws is not None:
            _show(draws)
        refused = _why_not(artifact)
        if refused is not None:
            st.caption(message(refused))
            return
        labeled = [row for row in queries.datasets() if queries.has_same_classes(artifact, row)]
        if not labeled:
            st.caption("To measure it, register a labeled dataset with the classes of the model.")
            return
        dataset = st.selectbox(
            "Evaluation dataset",
            labeled,
            format_func=lambda row: str(row.name),
            key="draws_dataset",
            width=260,
        )
        _button(artifact, dataset, draws is not None)


def _why_not(artifact: Artifact) -> str | None:
    """Why other draws of the calibration images cannot be made; None where they can."""
    try:
        name = calibration_of(artifact, 0).dataset
        pool = next((row for row in queries.datasets() if row.name == name), None)
        if pool is None:
            return f"Other draws need the calibration dataset {name}, which is not registered here."
        require_draws(artifact, pool)
    except InvalidRequest as error:
        return str(error)
    return None


def _show(draws: CalibrationDraws) -> None:
    for runtime in draws.correct:
        st.markdown(escape_markdown(draws.sentence(runtime)))
    rows = [
        {"runtime": label_of(name)}
        | {f"seed {seed}": count for seed, count in zip(draws.seeds, counts, strict=True)}
        for name, counts in draws.correct.items()
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key="draws",
        alt="Images correct by runtime and calibration seed",
    )
    st.caption(escape_markdown(" ".join(["Images correct, of", *draws.notes()])))


def _button(artifact: Artifact, dataset: Dataset, again: bool) -> None:
    spec = DrawsSpec(artifact=artifact.digest, dataset=dataset.name, dataset_digest=dataset.digest)
    verb = "Build and evaluate again" if again else "Build and evaluate"
    show_job(
        draws_job(spec, artifact.model_id),
        key="measure_draws",
        label=f"{verb} with {spec.draws} draws",
        icon=":material/casino:",
        about="the spread",
        failed="The draws could not be made.",
    )

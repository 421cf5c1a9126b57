"""The nodes that an fp16 build keeps in fp32, with the reasons."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.formats import escape_markdown, plural
from db.models import Artifact
from engine.build.fp16.limits import LARGEST, LIMIT
from engine.store.manifest import BuildManifest

COLUMNS = {"node": "node", "op": "operator", "reason": "reason"}


def show_fp16(artifact: Artifact | None) -> None:
    """The overflow check and the float nodes of an fp16 build; nothing for other builds."""
    fp16 = BuildManifest.from_artifact(artifact).build.half if artifact is not None else None
    if fp16 is None:
        return
    float_nodes = fp16.kept_in_float
    with st.expander("fp16: nodes kept in fp32", icon=":material/compress:"):
        agreement, checked = fp16.agreement, fp16.checked
        images = f"{checked.images} images of {checked.dataset}"
        images = images if checked.dataset else checked.note or ""
        st.markdown(
            f"**{plural(len(float_nodes), 'node')}** kept in fp32. Largest activation: "
            f"**{fp16.largest.value:,.4g}** (fp16 maximum: {LARGEST:,.0f}; above "
            f"{LIMIT:,.0f} a node is kept in fp32). Overflow check: {escape_markdown(images)}."
        )
        st.markdown(
            f"Top-1 agreement with fp32, with every stored value rounded to fp16: "
            f"**{agreement.same_class} of {agreement.images}** images."
        )
        if float_nodes:
            table = pd.DataFrame([node.dump() for node in float_nodes])[list(COLUMNS)]
            st.dataframe(
                table,
                column_config=COLUMNS,
                hide_index=True,
                alt="Nodes kept in fp32, one row per node, with the reason",
            )

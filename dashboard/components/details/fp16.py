"""What an fp16 build keeps in float, and why."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.formats import escape_markdown, plural
from db.models import Artifact
from engine.build.fp16.limits import LARGEST, LIMIT
from engine.store.manifest import BuildManifest

COLUMNS = {"node": "node", "op": "operator", "reason": "why in float"}


def show_half(artifact: Artifact | None) -> None:
    """A table of the nodes that an fp16 build keeps in float; nothing for other builds."""
    made = BuildManifest.from_artifact(artifact).build.half if artifact is not None else None
    if made is None:
        return
    kept = made.kept_in_float
    with st.expander("What fp16 keeps in float", icon=":material/compress:"):
        found, checked = made.agreement, made.checked
        where = f"{checked.images} images of {checked.dataset}"
        where = where if checked.dataset else checked.note or ""
        st.markdown(
            f"**{plural(len(kept), 'node')}** in float. The largest value seen is "
            f"**{made.largest.value:,.4g}**; half precision holds {LARGEST:,.0f}, and beyond "
            f"{LIMIT:,.0f} a node stays in float. Checked: {escape_markdown(where)}."
        )
        st.markdown(
            f"With every stored value rounded to half precision, **{found.same_class} of "
            f"{found.images}** images get the class that fp32 gives."
        )
        if kept:
            table = pd.DataFrame([one.dump() for one in kept])[list(COLUMNS)]
            st.dataframe(
                table,
                column_config=COLUMNS,
                hide_index=True,
                alt="Nodes that stay in float, one row a node, with the reason",
            )

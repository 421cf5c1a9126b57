"""What is in a dataset: some images, and how many of each class."""

from __future__ import annotations

import streamlit as st

from dashboard import queries
from dashboard.charts.class_counts import class_counts, count_classes, counts_sentence
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.formats import escape_markdown
from db.models import Dataset

SHOWN = 8


def show_contents(row: Dataset) -> None:
    """Thumbnails and the histogram; read only while they are open."""
    opened = st.expander(
        "Images and classes",
        icon=":material/photo_library:",
        key=f"contents_{row.name}",
        on_change="rerun",
    )
    if not opened.open:
        return
    with opened:
        pictures = queries.thumbnails(queries.url(), queries.version(), row.digest, SHOWN)
        index = queries.dataset_index(queries.url(), queries.version(), row.digest)
        if index is None or not pictures:
            st.caption("The images are not on this machine any more.")
            return
        with st.grid(SHOWN, min_column_width=84):
            for name, data in pictures:
                with st.container(gap="xxsmall"):
                    st.image(data, width="stretch", alt=name)
                    st.caption(escape_markdown(name.partition(",")[0]))
        if not index.labeled:
            st.caption("The images have no labels.")
            return
        counts = count_classes(index.labels, len(index.classes))
        sentence = counts_sentence(counts)
        st.caption(sentence)
        st.plotly_chart(
            class_counts(counts, index.classes, current_palette()),
            key=f"histogram_{row.name}",
            config=chart_config(),
            alt=sentence,
        )

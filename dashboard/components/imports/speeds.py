"""Import of speeds: a file, which column is which field, a preview, the import."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard
from dashboard.components.common.notice import go_to, leave_notice
from dashboard.components.imports.files import dropped_file, forget_file
from dashboard.formats import message, plural
from engine.errors import InvalidRequest
from engine.imports.benchmark import (
    OutsideBenchmark,
    import_benchmarks,
    map_records,
    parse_benchmarks,
    read_records,
)

TYPES = ("json", "csv")
NONE = "–"
KEY = "speeds"
REQUIRED = tuple(name for name, f in OutsideBenchmark.model_fields.items() if f.is_required())
OPTIONAL = tuple(
    name for name in OutsideBenchmark.model_fields if name not in (*REQUIRED, "environment")
)
ALIASES = {
    "images_per_s": ("throughput", "fps", "img/s", "images/s", "infer_samples_per_sec", "qps"),
    "latency_p50_ms": ("p50", "median_ms", "latency_ms", "p50_ms"),
    "latency_p90_ms": ("p90", "p90_ms"),
    "latency_p95_ms": ("p95", "p95_ms"),
    "latency_p99_ms": ("p99", "p99_ms"),
    "latency_mean_ms": ("mean_ms", "avg_ms", "infer_step_time"),
    "batch": ("batch_size", "infer_batch_size", "bs"),
    "device": ("hardware", "accelerator", "card"),
    "model": ("name", "network"),
}
"""Other names of the fields in files of common tools."""


def import_speeds() -> None:
    """The whole form; nothing is recorded before the button."""
    file = dropped_file(
        "Speeds: JSON or CSV",
        KEY,
        TYPES,
        "a file of benchmarks",
        "One object or row per benchmark, with images per second and latencies in ms.",
    )
    if file is None:
        st.caption("Latencies are in ms per request of a batch, throughput in images/s.")
        return
    with guard():
        records = read_records(file)
        keys = list(dict.fromkeys(str(key) for record in records for key in record))
        keys = [key for key in keys if key != "environment"]
        fields, constants = choose_fields(keys, file.parent.name[:12])
        missing = [name for name in REQUIRED if name not in fields and not constants.get(name)]
        if missing:
            st.info(
                message(f"Choose a column or enter a value for {', '.join(missing)}."),
                icon=":material/edit:",
            )
            return
        found = parse_benchmarks(map_records(records, fields, constants), file.name)
        show_preview(found)
        if st.button(
            f"Import {plural(len(found), 'benchmark')}",
            key="import_speeds_now",
            type="primary",
            icon=":material/download_done:",
        ):
            _record(found)


def detect_field(field: str, keys: Iterable[str]) -> str | None:
    """The key of the file for a field: the same name or a common one, in any case."""
    by_name = {key.strip().lower(): key for key in keys}
    names = (field, *ALIASES.get(field, ()))
    return next((by_name[name] for name in names if name in by_name), None)


def choose_fields(keys: list[str], place: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Which key is which field, and the values that hold for all rows."""
    fields: dict[str, str] = {}
    constants: dict[str, Any] = {}
    st.markdown("**Required**")
    with st.grid(len(REQUIRED), min_column_width=170):
        for name in REQUIRED:
            with st.container():
                key = _choose(name, keys, place)
                if key is not None:
                    fields[name] = key
                    continue
                value = st.text_input(
                    f"{name}, the same for all rows",
                    key=f"constant_{name}_{place}",
                    persist_state="session",
                )
                if value and value.strip():
                    constants[name] = value.strip()
    with st.expander("Optional columns"), st.grid(4, min_column_width=170):
        for name in OPTIONAL:
            key = _choose(name, keys, place)
            if key is not None:
                fields[name] = key
    return fields, constants


def _choose(name: str, keys: list[str], place: str) -> str | None:
    options = [NONE, *keys]
    default = detect_field(name, keys) or NONE
    chosen = st.selectbox(
        name,
        options,
        index=options.index(default),
        key=f"field_{name}_{place}",
        persist_state="session",
    )
    return None if chosen == NONE else str(chosen)


def show_preview(found: list[OutsideBenchmark]) -> None:
    """The benchmarks as they would be recorded, without empty columns."""
    st.markdown("**Preview**")
    rows = pd.DataFrame([one.model_dump(exclude={"environment"}) for one in found])
    st.dataframe(
        rows.dropna(axis=1, how="all"),
        hide_index=True,
        height=min(320, 36 * (len(rows) + 1) + 4),
        alt="The benchmarks as they would be imported",
    )


def _record(found: list[OutsideBenchmark]) -> None:
    try:
        rows = import_benchmarks(found, queries.url())
    except InvalidRequest as error:
        st.error(message(str(error)), icon=":material/error:")
        return
    forget_file(KEY)
    known = sum(existed for _, existed in rows)
    again = f" {known} were imported before." if known else ""
    leave_notice(f"Imported {plural(len(rows), 'benchmark')}.{again}")
    go_to("app_pages/results.py")

"""Data per image and per request: flips, paired differences, latencies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.queries.state import Version, url, version
from db.models import Artifact, Benchmark, Dataset
from db.session import reading
from engine.common.ratios import SpeedRatio
from engine.common.stats import PairedDifference
from engine.config import settings
from engine.datasets.classes import can_match_outputs
from engine.datasets.reader import DatasetIndex, load_classes, open_index_by_digest
from engine.errors import WorkbenchError
from engine.evaluation import flips, per_image
from engine.results.precision_pairs import paired_top1_difference, precision_pairs
from engine.results.recommend import Evidence
from engine.results.recommend.evidence import latency_intervals
from engine.results.speeds import benchmark_ratio
from engine.store.manifest import ExportManifest
from engine.store.protocols import BenchmarkProtocol
from engine.store.shared import fetch


def pairs(frame: pd.DataFrame, first: str, second: str) -> tuple[pd.DataFrame, str | None]:
    """`second` vs `first`, and an error message if per-image results are missing."""
    return _pairs(frame, url(), version(), first, second)


@st.cache_data(show_spinner=False, max_entries=16)
def _pairs(
    frame: pd.DataFrame, url: str, version: Version, first: str, second: str
) -> tuple[pd.DataFrame, str | None]:
    try:
        return precision_pairs(frame, url, first, second), None
    except WorkbenchError as error:
        speed_only = frame.assign(evaluation_id=None)
        return precision_pairs(speed_only, url, first, second), str(error)


def latencies(benchmark_id: int) -> np.ndarray | None:
    """Latencies (ms) of all requests of the reported windows, in order; None if not stored."""
    return _latencies(url(), version(), benchmark_id)


@st.cache_data(show_spinner=False, max_entries=32)
def _latencies(url: str, version: Version, benchmark_id: int) -> np.ndarray | None:
    with reading(url) as session:
        row = session.get(Benchmark, benchmark_id)
    if row is None or not row.latencies_path:
        return None
    path = settings().home / row.latencies_path
    try:
        fetch(path)
        with np.load(path, allow_pickle=False) as archive:
            windows, values = archive["window"], archive["latency_ms"]
    except (OSError, KeyError, WorkbenchError):
        return None
    reported = BenchmarkProtocol.from_row(row).reported_windows
    return np.asarray(values[windows > windows.max() - reported], np.float64)


@st.cache_data(show_spinner=False, max_entries=8)
def flips_of(url: str, first_id: int, second_id: int) -> flips.Flips:
    """The images that two evaluations classify differently. Raises like engine.evaluation.flips."""
    return flips.find_flips(first_id, second_id, url)


@st.cache_data(show_spinner=False, max_entries=2)
def dataset_index(url: str, version: Version, digest: str) -> DatasetIndex | None:
    """Files and classes of a dataset; None if it is not on this machine any more."""
    try:
        return open_index_by_digest(digest, url)
    except WorkbenchError:
        return None


def has_same_classes(build: Artifact, dataset: Dataset) -> bool:
    """Whether a dataset has the classes that a build predicts."""
    manifest, classes = ExportManifest.from_artifact(build), load_classes(dataset)
    if classes is None:
        return dataset.num_classes == manifest.class_outputs
    return can_match_outputs(manifest.classes, manifest.background, classes)


def labeled_class_count(evaluation_id: int) -> int:
    """How many classes occur in the labels of an evaluation; 0 without per-image results."""
    return _classes_judged(url(), evaluation_id)


@st.cache_data(show_spinner=False, max_entries=64)
def _classes_judged(url: str, evaluation_id: int) -> int:
    try:
        labels = per_image.load_per_image(per_image.find_evaluation(evaluation_id, url)).label
    except WorkbenchError:
        return 0
    return len(np.unique(labels[labels != per_image.NO_LABEL]))


def paired_difference(first_id: int, second_id: int) -> PairedDifference | None:
    """Top-1 of the second evaluation minus the first, paired; None if they cannot be paired."""
    return _difference(url(), first_id, second_id)


@st.cache_data(show_spinner=False, max_entries=256)
def _difference(url: str, first_id: int, second_id: int) -> PairedDifference | None:
    try:
        return paired_top1_difference(first_id, second_id, url)
    except WorkbenchError:
        return None


def evidence() -> Evidence:
    """What a recommendation reads beside the table, cached."""
    return Evidence(paired_difference, _intervals)


def _intervals(benchmark_id: int) -> dict[str, tuple[float, float]]:
    return latency_intervals(url(), benchmark_id)


def speed_ratio(first_id: int, second_id: int) -> SpeedRatio | None:
    """Throughput of the second benchmark over the first; None if one does not exist any more."""
    return _speed_ratio(url(), version(), first_id, second_id)


@st.cache_data(show_spinner=False, max_entries=256)
def _speed_ratio(url: str, version: Version, first_id: int, second_id: int) -> SpeedRatio | None:
    try:
        return benchmark_ratio(first_id, second_id, url)
    except WorkbenchError:
        return None


def benchmark_protocol(benchmark_id: int) -> BenchmarkProtocol | None:
    """How a benchmark was measured; None if it does not exist any more."""
    with reading(url()) as session:
        row = session.get(Benchmark, benchmark_id)
    return None if row is None else BenchmarkProtocol.from_row(row)

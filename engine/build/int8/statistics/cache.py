"""Cache of statistics and ranges, so that no pass over the same calibration images is repeated.

It is in memory within one build, which prepares the model again for every selection of layers, and
in a folder from one build to the next. A file is replaced atomically and names its source. A file
that is damaged, from another source or from another graph is ignored: the cache only saves time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from engine.build.int8.statistics.channel_statistics import ChannelStatistics
from engine.build.int8.statistics.range_estimators import Ranges
from engine.common.digests import data_digest
from engine.config import settings
from engine.onnx.graph_view import GraphView

CACHE_VERSION = "2"
"""Increased whenever the same images would give other statistics or ranges than before."""
MAX_ENTRIES = 200
"""One entry per model and set of images, about 1 MB each; the least recently used are removed."""
SOURCE_FILE, STATISTICS_FILE, RANGES_FILE = "about.json", "stats.npz", "ranges.json"
_ARRAYS = ("low", "high", "mean", "square")
_LIBRARIES = ("numpy", "onnxruntime", "pillow")


@dataclass(frozen=True, slots=True)
class StatisticsSource:
    """The source of statistics: images of a dataset, preprocessed, through a model.

    `images` is the digest of the image indices in their order; `count` is their number. The field
    names are stored.
    """

    model_id: str
    export: str
    dataset_name: str
    dataset: str
    images: str
    count: int
    preprocess: str

    @property
    def key(self) -> str:
        """Digest of everything that determines the statistics; model and dataset names do not."""
        plain = asdict(self)
        plain.pop("model_id"), plain.pop("dataset_name")
        libraries = {name: version(name) for name in _LIBRARIES}
        return data_digest({**plain, "recipe": CACHE_VERSION, "libraries": libraries})[:32]


class StatisticsCache:
    """Statistics and ranges found so far; without a `source` they are in memory only."""

    def __init__(
        self, source: StatisticsSource | None = None, log: Callable[[str], None] = print
    ) -> None:
        self._folder = _root() / source.key if source is not None else None
        self._source, self._log = source, log
        self._statistics: dict[str, dict[str, ChannelStatistics]] = {}
        self._ranges: dict[str, tuple[float, float]] = {}
        self._ranges_loaded = False
        self._from_disk: frozenset[str] = frozenset()
        self._reported: set[str] = set()

    def find_statistics(
        self, model: ModelProto, names: list[str], view: GraphView
    ) -> dict[str, ChannelStatistics] | None:
        """Statistics of the tensors `names` of a graph; None where any is missing."""
        graph = graph_digest(model)
        if graph not in self._statistics:
            loaded = self._read_statistics(graph)
            if loaded is None or not _matches(loaded, names, view):
                return None
            self._statistics[graph] = loaded
            self._report_hit(f"statistics of {len(loaded)} tensors")
        return self._statistics[graph]

    def store_statistics(self, model: ModelProto, statistics: dict[str, ChannelStatistics]) -> None:
        """Adds the statistics of a graph, in memory and on disk."""
        graph = graph_digest(model)
        self._statistics[graph] = statistics
        arrays = {
            kind: np.concatenate([getattr(entry, kind) for entry in statistics.values()])
            for kind in _ARRAYS
        }
        buffer = io.BytesIO()
        np.savez(
            buffer,
            belongs=np.array(self._owner(graph)),
            names=np.array(list(statistics)),
            widths=np.array([len(entry.low) for entry in statistics.values()]),
            **arrays,  # type: ignore[arg-type]
        )
        self._write(STATISTICS_FILE, buffer.getvalue())

    def find_ranges(self, keys: dict[str, str]) -> Ranges:
        """Cached ranges by tensor name; `keys` are name -> range_key; others are left out."""
        if not self._ranges_loaded:
            self._ranges_loaded = True
            self._ranges = self._read_ranges()
            self._from_disk = frozenset(self._ranges)
        loaded = {name: self._ranges[key] for name, key in keys.items() if key in self._ranges}
        if loaded and all(keys[name] in self._from_disk for name in keys):
            self._report_hit(f"ranges of {len(loaded)} tensors")
        return loaded

    def store_ranges(self, keys: dict[str, str], ranges: Ranges) -> None:
        """Adds ranges by tensor name, in memory and on disk; `keys` as in find_ranges."""
        self._ranges |= {keys[name]: ends for name, ends in ranges.items()}
        plain = {key: list(ends) for key, ends in sorted(self._ranges.items())}
        document = {
            "belongs": self._owner(RANGES_FILE),
            "check": data_digest(plain),
            "ranges": plain,
        }
        self._write(RANGES_FILE, json.dumps(document).encode())

    def _owner(self, graph: str) -> str:
        return f"{self._source.key if self._source else ''} {graph}"

    def _report_hit(self, content: str) -> None:
        if self._source is not None and self._folder is not None and content not in self._reported:
            self._reported.add(content)
            with suppress(OSError):
                os.utime(self._folder / SOURCE_FILE)
            self._log(
                f"Reused from an earlier calibration on the same {self._source.count:,} images: "
                f"{content}."
            )

    def _read_statistics(self, graph: str) -> dict[str, ChannelStatistics] | None:
        # The error depends on where the file is damaged, so any exception is possible.
        with suppress(Exception):
            assert self._folder is not None
            # A file opened by np.load itself stays open when it is damaged.
            path = self._folder / STATISTICS_FILE
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                if str(stored["belongs"]) != self._owner(graph):
                    return None
                ends = np.cumsum(stored["widths"])[:-1]
                parts = [np.split(stored[kind], ends) for kind in _ARRAYS]
                names = [str(name) for name in stored["names"]]
                loaded = zip(names, *parts, strict=True)
                return {name: ChannelStatistics(*row) for name, *row in loaded}
        return None

    def _read_ranges(self) -> dict[str, tuple[float, float]]:
        with suppress(Exception):
            assert self._folder is not None
            document = json.loads((self._folder / RANGES_FILE).read_bytes())
            plain = document["ranges"]
            same = document["belongs"] == self._owner(RANGES_FILE)
            if same and document["check"] == data_digest(plain):
                return {key: (float(low), float(high)) for key, (low, high) in plain.items()}
        return {}

    def _write(self, name: str, data: bytes) -> None:
        if self._folder is None or self._source is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            description = {**asdict(self._source), "key": self._source.key}
            for path, content in (
                (self._folder / name, data),
                (self._folder / SOURCE_FILE, json.dumps(description).encode()),
            ):
                temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
                temporary.write_bytes(content)
                temporary.replace(path)
        except OSError as error:
            self._log(f"Calibration statistics could not be cached: {error.strerror}.")
        _evict()


def graph_digest(model: ModelProto) -> str:
    """Digest of the nodes of a graph; its weights are identified by the export."""
    digest = hashlib.sha256()
    for node in model.graph.node:
        digest.update(node.SerializeToString(deterministic=True))
    return digest.hexdigest()


def range_key(
    name: str, method: list[Any], statistics: ChannelStatistics, *extra: np.ndarray
) -> str:
    """Key of the range of one tensor: the calibration method, and its channels as scaled."""
    digest = hashlib.sha256(json.dumps([name, method]).encode())
    for array in (statistics.low, statistics.high, statistics.mean, *extra):
        digest.update(np.ascontiguousarray(array, np.float64).tobytes())
    return digest.hexdigest()


def _matches(loaded: dict[str, ChannelStatistics], names: list[str], view: GraphView) -> bool:
    """Whether statistics are of exactly these tensors, and finite."""
    if list(loaded) != names:
        return False
    return all(
        all(np.isfinite(getattr(entry, kind)).all() for kind in _ARRAYS)
        and view.channels(name) in (None, len(entry.low))
        for name, entry in loaded.items()
    )


@dataclass(frozen=True, slots=True)
class CachedCalibration:
    """One cache entry for listings; `used_at` in seconds since 1970."""

    folder: Path
    model_id: str
    dataset_name: str
    images: int
    disk_bytes: int
    used_at: float


def list_cached() -> list[CachedCalibration]:
    """All cache entries, the most recently used first."""
    entries = []
    for path in _root().glob(f"*/{SOURCE_FILE}"):
        with suppress(OSError, ValueError, KeyError):
            description = json.loads(path.read_text())
            files = [file for file in path.parent.iterdir() if file.is_file()]
            size = sum(file.stat().st_size for file in files)
            used_at = max(file.stat().st_mtime for file in files)
            entries.append(
                CachedCalibration(
                    folder=path.parent,
                    model_id=description["model_id"],
                    dataset_name=description["dataset_name"],
                    images=int(description["count"]),
                    disk_bytes=size,
                    used_at=used_at,
                )
            )
    return sorted(entries, key=lambda entry: -entry.used_at)


def clear(dataset: str | None = None) -> int:
    """Removes the entries of a dataset, or all; returns the bytes freed."""
    removed = [entry for entry in list_cached() if dataset in (None, entry.dataset_name)]
    for entry in removed:
        shutil.rmtree(entry.folder, ignore_errors=True)
    return sum(entry.disk_bytes for entry in removed)


def _evict() -> None:
    for entry in list_cached()[MAX_ENTRIES:]:
        shutil.rmtree(entry.folder, ignore_errors=True)


def _root() -> Path:
    path = settings().folder("cache") / "calibrations"
    path.mkdir(exist_ok=True)
    return path

"""What earlier passes over the same images found: statistics and ranges, so that none is repeated.

In memory within one build, which prepares the model anew for every choice of layers; and in a
folder, from one build to the next. A file is written whole, says what it belongs to, and is left
aside where it is damaged, foreign or of another kind of graph: it only ever saves time.
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

from engine.build.int8.statistics.channel_statistics import ChannelStats
from engine.build.int8.statistics.range_estimators import Ranges
from engine.common.digests import data_digest
from engine.config import settings
from engine.onnx.graph_view import GraphView

RECIPE = "1"
"""Raised when the same images come to give other statistics or ranges."""
MOST_KEPT = 200
"""Models and sets of images; those used longest ago go first. Each takes about a megabyte."""
ABOUT, STATS, RANGES = "about.json", "stats.npz", "ranges.json"
_KINDS = ("low", "high", "mean", "square")
_LIBRARIES = ("numpy", "onnxruntime", "pillow")


@dataclass(frozen=True, slots=True)
class Subject:
    """What was looked at: the images of a dataset, prepared in some way, through a model.

    `images` is the digest of which they are and in what order.
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
        """Digest of all that decides what is found; names do not."""
        plain = asdict(self)
        plain.pop("model_id"), plain.pop("dataset_name")
        libraries = {name: version(name) for name in _LIBRARIES}
        return data_digest({**plain, "recipe": RECIPE, "libraries": libraries})[:32]


class Known:
    """What is known already; of no `subject`, only what this object was told."""

    def __init__(self, subject: Subject | None = None, say: Callable[[str], None] = print) -> None:
        self._folder = _root() / subject.key if subject is not None else None
        self._subject, self._say = subject, say
        self._stats: dict[str, dict[str, ChannelStats]] = {}
        self._ranges: dict[str, tuple[float, float]] = {}
        self._read_ranges = False
        self._from_disk: frozenset[str] = frozenset()
        self._told: set[str] = set()

    def stats(
        self, model: ModelProto, names: list[str], view: GraphView
    ) -> dict[str, ChannelStats] | None:
        """Statistics of all these tensors of a graph, or None."""
        graph = graph_digest(model)
        if graph not in self._stats:
            found = self._load_stats(graph)
            if found is None or not _fits(found, names, view):
                return None
            self._stats[graph] = found
            self._tell(f"statistics of {len(found)} tensors")
        return self._stats[graph]

    def keep_stats(self, model: ModelProto, stats: dict[str, ChannelStats]) -> None:
        """For the next time."""
        graph = graph_digest(model)
        self._stats[graph] = stats
        whole = {
            kind: np.concatenate([getattr(one, kind) for one in stats.values()]) for kind in _KINDS
        }
        buffer = io.BytesIO()
        np.savez(
            buffer,
            belongs=np.array(self._belongs(graph)),
            names=np.array(list(stats)),
            widths=np.array([len(one.low) for one in stats.values()]),
            **whole,  # type: ignore[arg-type]
        )
        self._write(STATS, buffer.getvalue())

    def ranges(self, keys: dict[str, str]) -> Ranges:
        """Of those tensors (name -> key, see range_key) whose range is known."""
        if not self._read_ranges:
            self._read_ranges = True
            self._ranges = self._load_ranges()
            self._from_disk = frozenset(self._ranges)
        found = {name: self._ranges[key] for name, key in keys.items() if key in self._ranges}
        if found and all(keys[name] in self._from_disk for name in keys):
            self._tell(f"ranges of {len(found)} tensors")
        return found

    def keep_ranges(self, keys: dict[str, str], ranges: Ranges) -> None:
        """For the next time; `keys` as above."""
        self._ranges |= {keys[name]: ends for name, ends in ranges.items()}
        plain = {key: list(ends) for key, ends in sorted(self._ranges.items())}
        document = {"belongs": self._belongs(RANGES), "check": data_digest(plain), "ranges": plain}
        self._write(RANGES, json.dumps(document).encode())

    def _belongs(self, graph: str) -> str:
        return f"{self._subject.key if self._subject else ''} {graph}"

    def _tell(self, what: str) -> None:
        if self._subject is not None and self._folder is not None and what not in self._told:
            self._told.add(what)
            with suppress(OSError):
                os.utime(self._folder / ABOUT)
            self._say(
                f"Known from an earlier calibration on the same {self._subject.count:,} images: "
                f"{what}."
            )

    def _load_stats(self, graph: str) -> dict[str, ChannelStats] | None:
        # A damaged file may raise anything, whatever its reader meets first.
        with suppress(Exception):
            assert self._folder is not None
            with np.load(self._folder / STATS, allow_pickle=False) as stored:
                if str(stored["belongs"]) != self._belongs(graph):
                    return None
                ends = np.cumsum(stored["widths"])[:-1]
                parts = [np.split(stored[kind], ends) for kind in _KINDS]
                names = [str(name) for name in stored["names"]]
                found = zip(names, *parts, strict=True)
                return {name: ChannelStats(*row) for name, *row in found}
        return None

    def _load_ranges(self) -> dict[str, tuple[float, float]]:
        with suppress(Exception):
            assert self._folder is not None
            document = json.loads((self._folder / RANGES).read_bytes())
            plain = document["ranges"]
            same = document["belongs"] == self._belongs(RANGES)
            if same and document["check"] == data_digest(plain):
                return {key: (float(low), float(high)) for key, (low, high) in plain.items()}
        return {}

    def _write(self, name: str, data: bytes) -> None:
        if self._folder is None or self._subject is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            about = {**asdict(self._subject), "key": self._subject.key}
            for path, content in (
                (self._folder / name, data),
                (self._folder / ABOUT, json.dumps(about).encode()),
            ):
                temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
                temporary.write_bytes(content)
                temporary.replace(path)
        except OSError as error:
            self._say(f"What calibration found could not be kept: {error.strerror}.")
        _make_room()


def graph_digest(model: ModelProto) -> str:
    """Of the nodes of a graph; its weights are those of the export."""
    found = hashlib.sha256()
    for node in model.graph.node:
        found.update(node.SerializeToString(deterministic=True))
    return found.hexdigest()


def range_key(name: str, how: list[Any], stats: ChannelStats, *more: np.ndarray) -> str:
    """Of one tensor: the way its range is taken, and its channels as they are scaled."""
    found = hashlib.sha256(json.dumps([name, how]).encode())
    for array in (stats.low, stats.high, stats.mean, *more):
        found.update(np.ascontiguousarray(array, np.float64).tobytes())
    return found.hexdigest()


def _fits(found: dict[str, ChannelStats], names: list[str], view: GraphView) -> bool:
    """Whether statistics are of these tensors, and finite."""
    if list(found) != names:
        return False
    return all(
        all(np.isfinite(getattr(one, kind)).all() for kind in _KINDS)
        and view.channels(name) in (None, len(one.low))
        for name, one in found.items()
    )


@dataclass(frozen=True, slots=True)
class KeptCalibration:
    """One folder as the listing shows it; `used_at` in seconds since 1970."""

    folder: Path
    model_id: str
    dataset_name: str
    images: int
    disk_bytes: int
    used_at: float


def all_kept() -> list[KeptCalibration]:
    """Everything that is kept, the newest first."""
    found = []
    for path in _root().glob(f"*/{ABOUT}"):
        with suppress(OSError, ValueError, KeyError):
            about = json.loads(path.read_text())
            files = [file for file in path.parent.iterdir() if file.is_file()]
            size = sum(file.stat().st_size for file in files)
            moment = max(file.stat().st_mtime for file in files)
            found.append(
                KeptCalibration(
                    folder=path.parent,
                    model_id=about["model_id"],
                    dataset_name=about["dataset_name"],
                    images=int(about["count"]),
                    disk_bytes=size,
                    used_at=moment,
                )
            )
    return sorted(found, key=lambda kept: -kept.used_at)


def clear(dataset: str | None = None) -> int:
    """Removes what is kept of a dataset, or all; returns the bytes freed."""
    gone = [kept for kept in all_kept() if dataset in (None, kept.dataset_name)]
    for kept in gone:
        shutil.rmtree(kept.folder, ignore_errors=True)
    return sum(kept.disk_bytes for kept in gone)


def _make_room() -> None:
    for kept in all_kept()[MOST_KEPT:]:
        shutil.rmtree(kept.folder, ignore_errors=True)


def _root() -> Path:
    path = settings().folder("cache") / "calibrations"
    path.mkdir(exist_ok=True)
    return path

"""The datasets that a run can name: registered ones, and those whose preparation has not ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.enums import LIVE, JobKind
from db.models import Dataset, Job
from db.session import reading
from engine.datasets.classes import Classes
from engine.datasets.layouts import Layout, detect_layout
from engine.datasets.reader import load_classes
from engine.datasets.registration import label_options_of
from engine.errors import DatasetInvalid
from engine.specs import DatasetSpec


@dataclass(frozen=True, slots=True)
class AvailableDatasets:
    """By name: `registered` rows, and the specs of queued and running registrations.

    A name can be in both: its registration is about to be replaced, and a run waits for that.
    """

    registered: Mapping[str, Dataset]
    preparing: Mapping[str, DatasetSpec]

    @classmethod
    def read(cls, url: str) -> AvailableDatasets:
        """All datasets of a database."""
        with reading(url) as session:
            return cls.load(session)

    @classmethod
    def load(cls, session: Session) -> AvailableDatasets:
        """All datasets, as this transaction sees them."""
        rows = {row.name: row for row in session.scalars(select(Dataset))}
        live = select(Job.params).where(Job.kind == JobKind.PREPARE_DATASET, Job.status.in_(LIVE))
        specs = [DatasetSpec.model_validate(params) for params in session.scalars(live)]
        return cls(rows, {spec.name: spec for spec in specs})

    def __contains__(self, name: str) -> bool:
        return name in self.registered or name in self.preparing

    def get(self, name: str | None) -> Dataset | None:
        """The registered dataset; None for one in preparation, whose images are not known yet."""
        return None if name in self.preparing else self.registered.get(name or "")

    def labeled(self) -> list[str]:
        """The names of the datasets that accuracy can be measured on, sorted."""
        names = {name for name, row in self.registered.items() if row.num_classes}
        unlabeled = {
            name
            for name, spec in self.preparing.items()
            if spec.unlabelled or spec.calibration_images
        }
        return sorted((names | self.preparing.keys()) - unlabeled)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.registered.keys() | self.preparing.keys())

    def count_images(self, name: str | None) -> int | None:
        """The number of its images; in preparation, of the files found in its folder."""
        row, layout = self.get(name), self._expected_layout(name)
        if row is not None:
            return row.num_images
        return len(layout.files) if layout is not None else None

    def classes_of(self, name: str | None) -> Classes | None:
        """Its classes; None where it has none, or where they are not known yet."""
        row, layout = self.get(name), self._expected_layout(name)
        if row is not None:
            return load_classes(row)
        return layout.classes if layout is not None else None

    def _expected_layout(self, name: str | None) -> Layout | None:
        spec = self.preparing.get(name or "")
        if spec is None or spec.builtin or spec.calibration_images:
            return None
        try:
            return look_at_folder(spec)
        except (DatasetInvalid, OSError):  # its job says why
            return None


def look_at_folder(spec: DatasetSpec) -> Layout:
    """The layout of a folder before its images are decoded; kept until the folder changes.

    Raises DatasetInvalid, with what was found instead.
    """
    paths = [path for path in (spec.root, spec.labels, spec.classes) if path]
    return _look(spec, tuple(Path(path).stat().st_mtime_ns for path in paths))


@lru_cache(maxsize=8)
def _look(spec: DatasetSpec, changed_ns: tuple[int, ...]) -> Layout:
    return detect_layout(Path(spec.root or ""), label_options_of(spec), spec.unlabelled)

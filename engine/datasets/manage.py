"""Renaming and removing registered datasets, with what rests on each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from db.enums import LIVE
from db.models import Artifact, Dataset, Evaluation, Job
from db.session import reading, writing
from engine.datasets import pixel_cache
from engine.datasets.archives import remove_extracted
from engine.datasets.registration import find_dataset, root_of
from engine.errors import InvalidRequest
from engine.specs.datasets import BUILTIN_DATASETS
from engine.text import plural

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Uses:
    """What rests on a dataset: evaluations, builds that were calibrated on it, live jobs."""

    evaluations: int
    builds: int
    live_jobs: tuple[str, ...]

    def sentence(self) -> str:
        """`2 evaluations and 1 int8 build were made with it`; empty where nothing was."""
        parts = [
            *([plural(self.evaluations, "evaluation")] if self.evaluations else []),
            *([plural(self.builds, "calibrated build")] if self.builds else []),
        ]
        if not parts:
            return ""
        verb = "was" if self.evaluations + self.builds == 1 else "were"
        return f"{' and '.join(parts)} {verb} made with it"


def uses_of(dataset: Dataset, url: str) -> Uses:
    """What rests on the dataset: by the digest of its images, live jobs by its name."""
    with reading(url) as session:
        evaluations = session.scalar(
            select(func.count())
            .select_from(Evaluation)
            .where(Evaluation.dataset_digest == dataset.digest)
        )
        manifests = list(session.scalars(select(Artifact.manifest)))
        live = session.execute(select(Job.title, Job.params).where(Job.status.in_(LIVE))).all()
    builds = sum(dataset.digest in _texts(manifest) for manifest in manifests)
    waiting = tuple(title for title, params in live if dataset.name in _texts(params))
    return Uses(evaluations or 0, builds, waiting)


def _texts(value: Any) -> set[str]:
    """All texts in a JSON value, without its keys."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from walk(inner)

    return set(walk(value))


def rename_dataset(name: str, new: str, url: str) -> None:
    """Gives a dataset another name, also in the evaluations that were made with it.

    Raises InvalidRequest for a name that is not allowed or taken, and while jobs use the dataset.
    """
    row = _changeable(name, url)
    if not _NAME.fullmatch(new) or new in BUILTIN_DATASETS:
        raise InvalidRequest(
            f"{new!r} is not a free dataset name: use up to 63 letters, digits, dots, dashes and "
            f"underscores, starting with a letter or digit."
        )
    try:
        with writing(url) as session:
            session.execute(update(Dataset).where(Dataset.id == row.id).values(name=new))
            session.execute(
                update(Evaluation)
                .where(Evaluation.dataset_digest == row.digest, Evaluation.dataset_name == name)
                .values(dataset_name=new)
            )
    except IntegrityError as error:
        raise InvalidRequest(f"There is a dataset {new!r} already; choose another name.") from error


def remove_dataset(name: str, url: str) -> Uses:
    """Removes the registration, its preprocessed images, and images that were uploaded.

    Evaluations and builds stay; a folder of the user is not touched. Returns what rested on it.
    Raises InvalidRequest while jobs use the dataset.
    """
    row = _changeable(name, url)
    uses = uses_of(row, url)
    with writing(url) as session:
        session.execute(delete(Dataset).where(Dataset.id == row.id))
        same_folder = session.scalar(select(Dataset.id).where(Dataset.root == row.root).limit(1))
    pixel_cache.clear(name)
    if same_folder is None:
        remove_extracted(root_of(row))
    return uses


def _changeable(name: str, url: str) -> Dataset:
    row = find_dataset(name, url)
    uses = uses_of(row, url)
    if uses.live_jobs:
        raise InvalidRequest(
            f"Dataset {name!r} is used by {plural(len(uses.live_jobs), 'job')} that have not ended "
            f"({uses.live_jobs[0]}): wait for them or cancel them."
        )
    return row

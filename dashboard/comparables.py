"""What may stand on one chart: results of one set of images, or of one machine and setting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from dashboard.formats import short
from db.enums import WeightsKind
from engine.benchmark.scenarios.definitions import CLOSED_LOOP
from engine.catalog.models import find_model
from engine.errors import WorkbenchError
from engine.evaluation.comparability import WAYS_OF_THE_MODEL
from engine.preprocess.protocols import Protocol
from engine.results import MEASURED_HERE
from engine.results.columns import SAME_CONDITIONS

ACCURACY = [
    "dataset",
    "dataset_digest",
    "label_set",
    "images",
    "images_in_dataset",
    "images_digest",
]
SPEED = ["environment", *SAME_CONDITIONS]
CPU = "CPUExecutionProvider"
DIGEST_LENGTH = 64
NOT_STATED = "not stated"
OWN_WAY = "own"


@dataclass(frozen=True, slots=True)
class Group:
    """A label for people, and the values that all of its results share."""

    label: str
    values: dict[str, object]

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that belong to this group."""
        keep = pd.Series(True, index=frame.index)
        for column, value in self.values.items():
            keep &= frame[column] == value
        return frame[keep]


def accuracy_groups(frame: pd.DataFrame) -> list[Group]:
    """Sets of images that something was evaluated on, the most used first."""
    finished = frame["images"] == frame["images_planned"]
    return _groups(frame[frame["evaluation_id"].notna() & finished], ACCURACY, _accuracy_label)


def speed_groups(frame: pd.DataFrame) -> list[Group]:
    """Machines and settings that something was benchmarked on, the most used first.

    Those of a scenario come after those of the closed loop, which is the usual one.
    """
    found = _groups(frame[frame["benchmark_id"].notna()], SPEED, _speed_label)
    return sorted(found, key=lambda group: group.values["scenario"] != CLOSED_LOOP)


def _groups(
    frame: pd.DataFrame, columns: list[str], label: Callable[[dict[str, object]], str]
) -> list[Group]:
    if frame.empty:
        return []
    counts = frame.groupby(columns, sort=False)["artifact_digest"].nunique()
    counts = counts.sort_values(ascending=False, kind="stable")
    named = [dict(zip(columns, values, strict=True)) for values in counts.index]
    labels = [label(values) for values in named]
    return [
        Group(text if labels.count(text) == 1 else f"{text} · {_digest(values)}", values)
        for text, values in zip(labels, named, strict=True)
    ]


def _digest(values: dict[str, object]) -> str:
    digests = [str(value)[:8] for name, value in values.items() if name.endswith("_digest")]
    return " ".join(filter(None, digests))


def _accuracy_label(values: dict[str, object]) -> str:
    images, total = (int(float(str(values[name]))) for name in ("images", "images_in_dataset"))
    part = f"{images:,}" if images >= total else f"{images:,} of {total:,}"
    labels = "" if values["label_set"] == "dataset" else f" · labels {values['label_set']}"
    return f"{values['dataset']} · {part} images{labels}"


def _speed_label(values: dict[str, object]) -> str:
    batch, threads, instances, processes = (
        int(float(str(values[name]))) for name in ("batch", "threads", "instances", "processes")
    )
    parts = [f"batch {batch}", f"{threads} thread{'s' if threads != 1 else ''}"]
    if instances > 1:
        parts.append(f"{instances} requests in flight")
    if processes > 1:
        parts.append(f"{processes} processes")
    if values["scenario"] != CLOSED_LOOP:
        parts.insert(0, str(values["scenario"]))
    if values["provider"] != CPU:
        parts.append(str(values["provider"]).removesuffix("ExecutionProvider"))
    return f"{', '.join(parts)} · {values['environment']}"


def with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds `label`: the model, told apart by weights where one model was run with several."""
    kinds = frame["weights_kind"].map(
        {WeightsKind.RANDOM: " (random weights)", WeightsKind.FILE: "", WeightsKind.PRETRAINED: ""}
    )
    several = frame.groupby("model_id")["weights_digest"].transform("nunique") > 1
    digests = " · " + frame["weights_digest"].astype(object).fillna("").map(short)
    origins = (" (" + frame["origin"].fillna(MEASURED_HERE).astype(str) + ")").where(
        frame["origin"].fillna(MEASURED_HERE) != MEASURED_HERE, ""
    )
    told_apart = digests.where(several & frame["weights_digest"].notna(), "")
    label = frame["model_id"] + kinds.fillna("") + told_apart + origins
    return frame.assign(label=label)


def with_keys(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds `key`: a name for each row that people can read and that no other row has."""
    key = frame["label"] + " " + frame["precision"]
    for more in ("artifact_digest", "preprocess", "evaluation_id"):
        several = key.duplicated(keep=False)
        if not several.any():
            break
        key = key.where(~several, key + " · " + frame[more].map(_brief))
    return frame.assign(key=key)


def _brief(value: object) -> str:
    text = str(value)
    return text[:6] if len(text) == DIGEST_LENGTH else text


def accuracy_points(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an evaluation that may be shown as accuracy: finished, and not of random weights."""
    trained = frame["weights_kind"] != WeightsKind.RANDOM
    finished = frame["images"] == frame["images_planned"]
    return frame[frame["top1"].notna() & trained & finished].drop_duplicates("evaluation_id")


def with_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds `apart`: why a row must not be held against the others of its images; None: it may be.

    Models prepared each in its own way stand together, and so do those prepared all in one way;
    one model prepared in two ways does not. What an import does not state is not held against it.
    The rule is that of engine.evaluation.comparability, for many rows at once.
    """
    frame = frame.assign(apart=None)
    told = frame[frame["top1"].notna() & (frame["preprocess"] != NOT_STATED)]
    own = _in_own_way(told)
    ways = told["preprocess"].where(~own, OWN_WAY)
    if ways.empty:
        return frame
    usual = OWN_WAY if own.any() else ways.value_counts().index[0]
    apart = ways != usual
    published = told["preparation"] == Protocol.PUBLISHED
    several = told[~apart].groupby("model_id")["preprocess"].nunique()
    split = told["model_id"].isin(several.index[several > 1]) & ~apart
    reference = told["model_id"].map(
        told[split & published].groupby("model_id")["preprocess"].first()
    )
    apart |= split & reference.notna() & (told["preprocess"] != reference)
    others = "each in its own way" if usual == OWN_WAY else f"with {usual}"
    reasons = "prepared with " + told["preprocess"] + f", the others {others}: not compared"
    return frame.assign(apart=reasons.where(apart).reindex(frame.index).astype(object))


def _in_own_way(rows: pd.DataFrame) -> pd.Series:
    """Whether images were prepared as the model's own protocol has it."""
    named = rows["preparation"].isin(WAYS_OF_THE_MODEL)
    known = rows["model_id"].map({name: _published(name) for name in rows["model_id"].unique()})
    return named | (rows["preprocess"] == known)


def _published(model_id: str) -> str | None:
    try:
        own = find_model(model_id).preprocess
    except WorkbenchError:
        return None
    return own.summary() if own is not None else None


def newest_builds(frame: pd.DataFrame) -> pd.DataFrame:
    """Of several builds of one model at one precision, the rows of the last one measured.

    Where some rows stand apart (as from `with_apart`), those that do not come before them.
    """
    keys = ["model_id", "weights_digest", "origin", "precision"]
    together = frame["apart"].isna() if "apart" in frame else True
    ranked = frame.assign(together=together).sort_values(["together", "measured_at"], kind="stable")
    newest = ranked.drop_duplicates(keys, keep="last")[["artifact_digest", "together"]]
    kept = ranked.reset_index().merge(newest, on=["artifact_digest", "together"])["index"]
    return frame[frame.index.isin(kept)]

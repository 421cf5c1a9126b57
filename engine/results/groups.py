"""What may stand on one chart: results of one set of images, or of one machine and setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from db.enums import WeightsKind
from engine.benchmark.scenarios.definitions import CLOSED_LOOP
from engine.results.builds import MEASURED_HERE
from engine.runtimes.registry import RUNTIMES, name_in
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME
from engine.specs.comparability import SAME_CONDITIONS, SAME_IMAGES, SAME_MODEL, SWEPT
from engine.text import plural, short

DIGEST_LENGTH = 64


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
    some = frame[frame["evaluation_id"].notna() & finished(frame)]
    return _groups(some, ["dataset", *SAME_IMAGES, "images_in_dataset"], _accuracy_label)


def speed_groups(frame: pd.DataFrame) -> list[Group]:
    """Machines and settings that something was benchmarked on, the most used first.

    Those of a scenario come after those of the closed loop, which is the usual one.
    """
    some = frame[frame["benchmark_id"].notna()]
    found = _groups(some, ["environment", *SAME_CONDITIONS], _speed_label)
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
    parts = [f"batch {batch}", plural(threads, "thread")]
    if instances > 1:
        parts.append(f"{instances} requests in flight")
    if processes > 1:
        parts.append(f"{processes} processes")
    if values["scenario"] != CLOSED_LOOP:
        parts.insert(0, str(values["scenario"]))
    if values["provider"] != CPU_PROVIDER:
        parts.append(str(values["provider"]).removesuffix("ExecutionProvider"))
    parts += filter(None, [_other_runtime(values["runtime"])])
    return f"{', '.join(parts)} · {values['environment']}"


def finished(frame: pd.DataFrame) -> pd.Series:
    """Whether each row's evaluation saw all images that it was asked for."""
    return frame["images"] == frame["images_planned"]


def accuracy_points(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an evaluation that may be shown as accuracy: finished, and not of random weights."""
    trained = frame["weights_kind"] != WeightsKind.RANDOM
    shown = frame[frame["top1"].notna() & trained & finished(frame)]
    return shown.drop_duplicates("evaluation_id")


def collapsed(frame: pd.DataFrame) -> pd.Series:
    """Whether each row is only as right as guessing would be."""
    return frame["at_chance"].fillna(False).astype(bool)


def sound(points: pd.DataFrame) -> pd.DataFrame:
    """What may be on a Pareto front: not collapsed, and comparable (as from `with_apart`)."""
    return points[~collapsed(points) & points["apart"].isna()]


def benchmarked_at(
    benchmarks: pd.DataFrame,
    own: pd.DataFrame,
    conditions: dict[str, object],
    vary: Iterable[str] = SWEPT,
) -> pd.DataFrame:
    """The benchmarks of one model's builds, the first of `own` at each precision.

    All under `conditions` (values of SAME_CONDITIONS), but those that may `vary`.
    """
    builds = own.drop_duplicates("precision").set_index("artifact_digest")
    same = {name: conditions[name] for name in SAME_CONDITIONS if name not in vary}
    found = Group("", same).of(benchmarks)
    found = found[found["artifact_digest"].isin(builds.index)]
    known = builds[["precision", "model_id", "label"]]
    return found.join(known, on="artifact_digest").reset_index(drop=True)


def _other_runtime(recorded: object) -> str:
    """A registered runtime other than the default one, for people; else empty."""
    name = name_in(str(recorded))
    return RUNTIMES[name].label if name in RUNTIMES and name != DEFAULT_RUNTIME else ""


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
    runtimes = frame["runtime"].map(_other_runtime)
    key = frame["label"] + " " + frame["precision"]
    key += (" in " + runtimes).where(runtimes != "", "")
    for more in ("artifact_digest", "preprocess", "evaluation_id"):
        several = key.duplicated(keep=False)
        if not several.any():
            break
        key = key.where(~several, key + " · " + frame[more].map(_brief))
    return frame.assign(key=key)


def _brief(value: object) -> str:
    text = str(value)
    return text[:6] if len(text) == DIGEST_LENGTH else text


def newest_builds(frame: pd.DataFrame) -> pd.DataFrame:
    """Of several builds of one model at one precision, the rows of the last one measured.

    Where some rows stand apart (as from `with_apart`), those that do not come before them.
    """
    together = frame["apart"].isna() if "apart" in frame else True
    ranked = frame.assign(together=together).sort_values(["together", "measured_at"], kind="stable")
    newest = ranked.drop_duplicates([*SAME_MODEL, "precision"], keep="last")
    newest = newest[["artifact_digest", "together"]]
    kept = ranked.reset_index().merge(newest, on=["artifact_digest", "together"])["index"]
    return frame[frame.index.isin(kept)]

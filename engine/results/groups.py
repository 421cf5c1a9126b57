"""Groups of results that one chart may show: the same images, or the same benchmark conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from db.enums import WeightsKind
from engine.benchmark.scenarios.definitions import CLOSED_LOOP
from engine.results.builds import MEASURED_HERE
from engine.results.reading import by_runtime
from engine.runtimes.registry import RUNTIMES, name_in, other_runtime
from engine.specs import CPU_PROVIDER
from engine.specs.comparability import SAME_IMAGES, SAME_MODEL, SAME_SETTING, SWEPT
from engine.specs.datasets import BUILTIN_DATASETS
from engine.text import plural, short

DIGEST_LENGTH = 64
DEMO_PREFIX = "demo/"


@dataclass(frozen=True, slots=True)
class Group:
    """A label, and the column values that all results of the group share."""

    label: str
    values: dict[str, object]

    def select_rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of `frame` that belong to this group."""
        keep = pd.Series(True, index=frame.index)
        for column, value in self.values.items():
            keep &= frame[column] == value
        return frame[keep]


def accuracy_groups(frame: pd.DataFrame) -> list[Group]:
    """Image sets with at least one complete evaluation, the most used first, the demo's last."""
    evaluated = frame[frame["evaluation_id"].notna() & is_complete(frame)]
    columns = ["dataset", *SAME_IMAGES, "images_in_dataset"]
    groups = _groups(evaluated, columns, _accuracy_label)
    return sorted(groups, key=lambda group: group.values["dataset"] in BUILTIN_DATASETS)


def speed_groups(frame: pd.DataFrame) -> list[Group]:
    """Machines and configurations with at least one benchmark, in any runtime, most used first.

    Closed-loop groups come before those of other scenarios.
    """
    benchmarked = frame[frame["benchmark_id"].notna()]
    groups = _groups(benchmarked, ["environment", *SAME_SETTING], _speed_label)
    return sorted(groups, key=lambda group: group.values["scenario"] != CLOSED_LOOP)


def _groups(
    frame: pd.DataFrame, columns: list[str], label: Callable[[dict[str, object]], str]
) -> list[Group]:
    if frame.empty:
        return []
    counts = frame.groupby(columns, sort=False)["artifact_digest"].nunique()
    counts = counts.sort_values(ascending=False, kind="stable")
    keys = [dict(zip(columns, values, strict=True)) for values in counts.index]
    labels = [label(values) for values in keys]
    return [
        Group(text if labels.count(text) == 1 else f"{text} · {_short_digests(values)}", values)
        for text, values in zip(labels, keys, strict=True)
    ]


def _short_digests(values: dict[str, object]) -> str:
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
        parts.append(f"concurrency {instances}")
    if processes > 1:
        parts.append(f"{processes} processes")
    if values["scenario"] != CLOSED_LOOP:
        parts.insert(0, str(values["scenario"]))
    if values["provider"] != CPU_PROVIDER:
        parts.append(str(values["provider"]).removesuffix("ExecutionProvider"))
    return f"{', '.join(parts)} · {values['environment']}"


def is_complete(frame: pd.DataFrame) -> pd.Series:
    """Whether the evaluation of each row covers all requested images."""
    return frame["images"] == frame["images_planned"]


def accuracy_points(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per evaluation whose accuracy is valid: complete, and not of random weights."""
    trained = frame["weights_kind"] != WeightsKind.RANDOM
    valid = frame[frame["top1"].notna() & trained & is_complete(frame)]
    return valid.drop_duplicates("evaluation_id")


def is_demo(frame: pd.DataFrame) -> pd.Series:
    """Whether each row is of the built-in demo."""
    return frame["model_id"].str.startswith(DEMO_PREFIX)


def is_collapsed(frame: pd.DataFrame) -> pd.Series:
    """Whether the accuracy of each row is no better than guessing."""
    return frame["at_chance"].fillna(False).astype(bool)


def pareto_candidates(points: pd.DataFrame) -> pd.DataFrame:
    """Rows that may be on a Pareto front: not collapsed, and comparable with the others.

    `points`: as from `with_not_comparable`.
    """
    return points[~is_collapsed(points) & points["not_comparable"].isna()]


def benchmarks_of_model(
    benchmarks: pd.DataFrame,
    model_rows: pd.DataFrame,
    conditions: dict[str, object],
    vary: Iterable[str] = SWEPT,
) -> pd.DataFrame:
    """The benchmarks of one model's builds: for each precision, the first build of `model_rows`.

    Only in the runtimes of its rows. `conditions`: values of SAME_SETTING that all benchmarks
    share, except those in `vary`. Adds `series`: the precision, and another runtime than the
    default one.
    """
    builds = model_rows.drop_duplicates("precision").set_index("artifact_digest")
    same = {name: conditions[name] for name in SAME_SETTING if name not in vary}
    selected = Group("", same).select_rows(benchmarks)
    shown = model_rows.assign(executed_by=by_runtime(model_rows))
    pairs = set(zip(shown["artifact_digest"], shown["executed_by"], strict=True))
    own = zip(selected["artifact_digest"], by_runtime(selected), strict=True)
    selected = selected[[pair in pairs and pair[0] in builds.index for pair in own]]
    identity = builds[["precision", "model_id", "label"]]
    selected = selected.join(identity, on="artifact_digest").reset_index(drop=True)
    others = selected["runtime"].map(other_runtime)
    names = selected["precision"] + (" in " + others).where(others != "", "")
    return selected.assign(series=names)


class RuntimeChoice(StrEnum):
    """Which rows of a build measured in several runtimes are shown, beside one by its name."""

    BEST = "best runtime"
    EACH = "each runtime"


def runtimes_of(recorded: pd.Series) -> list[str]:
    """Names of the registered runtimes among recorded ones, in the registry's order."""
    names = set(recorded.dropna().astype(str).map(name_in))
    return [name for name in RUNTIMES if name in names]


def in_runtime(rows: pd.DataFrame, choice: str) -> pd.DataFrame:
    """The rows of one runtime, of each, or of the best runtime of each model and precision.

    The best one is the fastest with both an accuracy and a speed, else one with an accuracy.
    """
    if choice == RuntimeChoice.EACH:
        return rows
    if choice != RuntimeChoice.BEST:
        return rows[rows["runtime"].map(name_in, na_action="ignore") == choice]
    build = [*SAME_MODEL, "precision"]
    ranked = rows.assign(
        executed_by=by_runtime(rows),
        accurate=rows["evaluation_id"].notna(),
        complete=rows["evaluation_id"].notna() & rows["benchmark_id"].notna(),
    )
    order = ranked.sort_values(
        ["complete", "accurate", "images_per_s"], ascending=False, kind="stable"
    )
    best = order.drop_duplicates(build)[[*build, "executed_by"]]
    kept = ranked.reset_index().merge(best, on=[*build, "executed_by"])["index"]
    return rows[rows.index.isin(kept)]


def with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds `label`: the model, with a weights digest if several weights of one model were run."""
    kinds = frame["weights_kind"].map(
        {WeightsKind.RANDOM: " (random weights)", WeightsKind.FILE: "", WeightsKind.PRETRAINED: ""}
    )
    several = frame.groupby("model_id")["weights_digest"].transform("nunique") > 1
    digests = " · " + frame["weights_digest"].astype(object).fillna("").map(short)
    origins = (" (" + frame["origin"].fillna(MEASURED_HERE).astype(str) + ")").where(
        frame["origin"].fillna(MEASURED_HERE) != MEASURED_HERE, ""
    )
    suffixes = digests.where(several & frame["weights_digest"].notna(), "")
    label = frame["model_id"] + kinds.fillna("") + suffixes + origins
    return frame.assign(label=label)


def with_keys(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds `key`: a readable name for each row that is unique in the table."""
    runtimes = frame["runtime"].map(other_runtime)
    key = frame["label"] + " " + frame["precision"]
    key += (" in " + runtimes).where(runtimes != "", "")
    for column in ("artifact_digest", "preprocess", "evaluation_id"):
        several = key.duplicated(keep=False)
        if not several.any():
            break
        key = key.where(~several, key + " · " + frame[column].map(_shorten_digest))
    return frame.assign(key=key)


def _shorten_digest(value: object) -> str:
    text = str(value)
    return text[:6] if len(text) == DIGEST_LENGTH else text


def newest_builds(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last measured build of each model and precision.

    If `frame` has the column `not_comparable`, comparable rows take precedence over the others.
    """
    comparable = frame["not_comparable"].isna() if "not_comparable" in frame else True
    ranked = frame.assign(comparable=comparable)
    ranked = ranked.sort_values(["comparable", "measured_at"], kind="stable")
    newest = ranked.drop_duplicates([*SAME_MODEL, "precision"], keep="last")
    newest = newest[["artifact_digest", "comparable"]]
    shown_rows = ranked.reset_index().merge(newest, on=["artifact_digest", "comparable"])["index"]
    return frame[frame.index.isin(shown_rows)]

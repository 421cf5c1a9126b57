"""The sentences of a recommendation, shared by the pages, the report and the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from db.enums import Precision
from engine.common.stats import PairedDifference
from engine.results.faster import not_faster_text
from engine.results.recommend.constraints import Constraints, Goal, State
from engine.results.recommend.decision import Assessment, Miss, Recommendation
from engine.results.recommend.speed import Row
from engine.results.wording import accuracy_text, interval_text, significance_text
from engine.runtimes.registry import label_of, other_runtime
from engine.specs import DEFAULT_RUNTIME
from engine.store.manifest import EMULATED
from engine.text import is_missing, number, plural, signed

NO_CANDIDATES = (
    "No build has both an accuracy on these images and a speed in this configuration yet."
)


@dataclass(frozen=True, slots=True)
class RecommendationText:
    """`head`: the state and the build. `evidence`: its figures. `open`: what is not shown yet."""

    head: str
    evidence: str
    open: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.head, self.open, self.evidence)))


def build_text(row: dict[str, Any]) -> str:
    """`timm/seresnet50 int8 in OpenVINO`: model, precision, and another runtime than the default.

    The default runtime is named too where `several_runtimes` is set in the row.
    """
    runtime = other_runtime(row.get("runtime"))
    if not runtime and row.get("several_runtimes"):
        runtime = label_of(DEFAULT_RUNTIME)
    where = f" in {runtime}" if runtime else ""
    return f"{row['label']} {row['precision']}{where}"


def recommendation_text(
    found: Recommendation, constraints: Constraints, setting: str
) -> RecommendationText:
    """The recommendation, or why there is none; `setting`: the conditions of the speed."""
    if found.row is None:
        return _no_build_meets(found)
    row, percentile = found.row, constraints.percentile
    speed = f"{number(row['images_per_s'])} images/s{_speed_up_clause(row)}"
    if not is_missing(row[percentile.column]):
        speed += f", {percentile} {number(row[percentile.column], 2)} ms"
        if found.assessment.latency is not None:
            low, high = (number(end, 2) for end in found.assessment.latency)
            speed += f" ({low} to {high})"
    rule = f"optimized for {constraints.goal}"
    if constraints.goal == Goal.ACCURACY and constraints.max_drop_pp is not None:
        rule = "most accurate model, its fastest precision"
    count = plural(int(found.meets.sum()), "build")
    evidence = (
        f"{accuracy_text(row)}{_drop_clause(row, found.assessment.difference)}; {speed} at "
        f"{setting}; {number(row['size_mb'])} MB. Best of {count} with figures within the "
        f"constraints ({rule})."
    )
    return RecommendationText(
        f"{found.state}: {build_text(row)}.", evidence, _open_text(found, constraints)
    )


def _open_text(found: Recommendation, constraints: Constraints) -> str:
    """What is not shown yet, and which build is; empty for a build that meets the constraints."""
    sentences = [
        *(f"{reason[0].upper()}{reason[1:]}." for reason in found.assessment.reasons),
        images_text(found.assessment, constraints, found.row or {}),
    ]
    if found.shown is not None:
        sentences.append(f"{State.MEETS} already: {build_text(found.shown)}.")
    return " ".join(filter(None, sentences))


def images_text(assessment: Assessment, constraints: Constraints, row: Row) -> str:
    """`About 700 more images are needed to show ...`; empty where none are, or none is known."""
    more = assessment.more_images
    if not more:
        return ""
    claims = []
    if constraints.max_drop_pp is not None and row["fp32_id"] != row["evaluation_id"]:
        claims.append(f"a drop of at most {constraints.max_drop_pp:g} pp")
    if constraints.min_top1 is not None:
        claims.append(f"a top-1 of at least {constraints.min_top1:g} %")
    together = (
        f", with {plural(assessment.family, 'build')} tested together"
        if assessment.family > 1
        else ""
    )
    left = row.get("images_in_dataset")
    rest = 0 if is_missing(left) else max(0, int(left or 0) - int(row["images"]))
    supply = f"; this dataset has {rest:,} more" if not is_missing(left) and rest < more else ""
    return (
        f"About {more:,} more images are needed to show {' and '.join(claims)}, if the figures "
        f"stay as they are{together}{supply}."
    )


def _no_build_meets(found: Recommendation) -> RecommendationText:
    head = f"No build meets all constraints (0 of {found.candidates:,})."
    if found.nearest is None:
        return RecommendationText(NO_CANDIDATES, "")
    row = found.nearest
    missed = "; ".join(map(_miss_text, found.misses))
    # A build at chance level may be within every limit.
    reason = missed or "its accuracy is no better than guessing"
    text = f"Nearest: {build_text(row)}: {reason}."
    if found.unreliable:
        count = plural(len(found.unreliable), "build")
        text += f" The speed of {count} was disturbed or unstable: measure again when quiet."
    return RecommendationText(head, text)


def _miss_text(miss: Miss) -> str:
    limit = miss.limit
    if miss.value is None or miss.excess is None:
        return f"{limit.name} unknown ({limit})"
    side = "below" if limit.minimum else "above"
    unit = "pp" if limit.unit == "%" else limit.unit
    return (
        f"{limit.name} {number(miss.value, 2)} {limit.unit}, {number(miss.excess, 2)} {unit} "
        f"{side} the limit of {limit.bound:g} {limit.unit}"
    )


def _speed_up_clause(row: dict[str, Any]) -> str:
    """` (1.10 × its fp32, paired 95 % interval 1.08 to 1.12: significant)`; empty without one."""
    if row["precision"] == Precision.FP32 or is_missing(row["speed_up_low"]):
        return ""
    low, high = (number(row[f"speed_up_{end}"], 2) for end in ("low", "high"))
    return (
        f" ({number(row['speed_up'], 2)} × its fp32, paired 95 % interval {low} to {high}: "
        f"{significance_text(row['speed_up_p'])})"
    )


def _drop_clause(row: dict[str, Any], difference: PairedDifference | None) -> str:
    if row["precision"] == Precision.FP32:
        return ""
    elsewhere = row.get("fp32_runtime")
    where = "" if is_missing(elsewhere) else f" in {label_of(str(elsewhere))}"
    if difference is not None:
        change = signed(100 * difference.difference, 2)
        return f", {change} pp vs its fp32{where} ({interval_text(difference)})"
    if is_missing(row["drop_pp"]):
        return ", accuracy drop vs fp32 unknown"
    return f", {signed(-row['drop_pp'], 2)} pp vs its fp32{where} (not paired by image)"


def most_accurate_text(
    best: dict[str, Any], second: dict[str, Any] | None, lead: PairedDifference | None
) -> RecommendationText:
    """`Most accurate: X fp32.` and its evidence; `lead`: top-1 of `best` minus `second`, paired."""
    evidence = accuracy_text(best)
    if second is not None and lead is not None:
        evidence += (
            f", {signed(100 * lead.difference, 2)} pp vs {build_text(second)} "
            f"({interval_text(lead)}: {significance_text(lead.p_value)})"
        )
    return RecommendationText(
        f"Most accurate: {build_text(best)}.",
        f"{evidence}. A recommendation also needs a benchmark.",
    )


def caveats(row: Row, constraints: Constraints) -> list[str]:
    """What limits a recommended build without changing its state, one clause each; may be empty."""
    stored = row.get("not_faster")
    slower = not_faster_text(row) if is_missing(stored) else stored
    found = [f"{row['precision']} is {slower}"] if slower else []
    if not is_missing(row["elsewhere"]):
        found.append(str(row["elsewhere"]))
    if row["execution"] == EMULATED:
        found.append(f"{row['precision']} is emulated on this processor")
    seen = row.get("seen_images")
    if not is_missing(seen) and seen:
        found.append(
            f"{int(seen or 0):,} of {int(row['images']):,} images were used for calibration too"
        )
    if constraints.goal == Goal.THROUGHPUT and constraints.min_top1 is None:
        found.append(
            "no min top-1 is set: a drop is against fp32 of the same model, so a small, inaccurate "
            "network may win"
        )
    return found

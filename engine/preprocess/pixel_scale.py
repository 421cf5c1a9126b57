"""Checks that mean and std are in the pixel range they are applied to: 0 to 1, or 0 to 255.

A pixel becomes (pixel * scale - mean) / std. Values in the other range give plausible but wrong
results, so they are refused when a user enters them. Stored specs are not checked: they record
what was done.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import InvalidRequest
from engine.preprocess.spec import PIXEL_SCALE, PreprocessSpec

LEVELS = 255.0
# A mean above 2 x white, or a std above 5 x white, is implausible.
MOST_MEAN, MOST_STD = 2.0, 5.0
# Above this white level, pixels count as 0 to 255: values below white / 255 then mean 0 to 1.
WHOLE_LEVELS = 100.0
# A std of 1 fits both ranges; a smaller one means pixels from 0 to 1.
LEAST_STD = 0.9


@dataclass(frozen=True, slots=True)
class Wording:
    """How a user selects pixels from 0 to 255 (`raw`) or from 0 to 1 (`divided`)."""

    raw: str
    divided: str


OPTION_WORDING = Wording(
    '`--scale 1` (`"scale": 1` in a JSON file; on the page, a Scale of 1)',
    "the scale of 1/255",
)
Three = tuple[float, float, float]


def require_one_scale(spec: PreprocessSpec, words: Wording = OPTION_WORDING) -> PreprocessSpec:
    """Returns the spec; raises InvalidRequest, with both corrections, if the ranges disagree."""
    problem = scale_problem(spec, words)
    if problem is not None:
        raise InvalidRequest(problem)
    return spec


def scale_problem(spec: PreprocessSpec, words: Wording = OPTION_WORDING) -> str | None:
    """The problem, if mean or std are in another range than the pixels; else None."""
    white = LEVELS * spec.scale
    if white >= WHOLE_LEVELS:
        return _unit_range_problem(spec, white, words)
    return _raw_range_problem(spec, white, words)


def raw_levels(spec: PreprocessSpec) -> tuple[Three, Three]:
    """The equivalent (mean, std) for pixels from 0 to 255, with a scale of 1."""
    return _times(spec.mean, 1 / spec.scale), _times(spec.std, 1 / spec.scale)


def _raw_range_problem(spec: PreprocessSpec, white: float, words: Wording) -> str | None:
    """The problem if mean or std are for pixels from 0 to 255, but pixels are scaled down."""
    limits = {"mean": MOST_MEAN * white, "std": MOST_STD * max(white, 1.0)}
    given = {"mean": spec.mean, "std": spec.std}
    large = {
        name: [abs(value) > limits[name] for value in values] for name, values in given.items()
    }
    wrong = [name for name in given if any(large[name])]
    if not wrong:
        return None
    for name in wrong:
        small = [v for v, is_large in zip(given[name], large[name], strict=True) if not is_large]
        if any(small):
            return (
                f"The {name} {_listed(given[name])} mixes values for pixels from 0 to 255 with "
                f"values for pixels from 0 to {white:g}; give all three in one range, and for "
                f"pixels from 0 to 255 use {words.raw}."
            )
    scaled = {**given, **{name: _times(given[name], spec.scale) for name in wrong}}
    other = {
        name: given[name] if name in wrong or _fits_raw(name, given[name]) else raw
        for name, raw in zip(given, raw_levels(spec), strict=True)
    }
    how = "divided by 255" if spec.scale == PIXEL_SCALE else f"times the scale of {spec.scale:g}"
    return (
        f"{_named(given, wrong)} for pixels from 0 to 255, but pixels go from 0 to {white:g} here. "
        f"If the network takes pixels from 0 to {white:g}, give the values {how}: "
        f"{_both(scaled['mean'], scaled['std'])}. If it takes pixels from 0 to 255, use "
        f"{words.raw} with {_both(other['mean'], other['std'])}."
    )


def _unit_range_problem(spec: PreprocessSpec, white: float, words: Wording) -> str | None:
    """The problem if mean or std are for pixels from 0 to 1, but pixels go up to about 255."""
    part = white / LEVELS
    given = {"mean": spec.mean, "std": spec.std}
    wrong = []
    if 0 < max(abs(value) for value in spec.mean) < part:
        wrong.append("mean")
    if min(spec.std) < LEAST_STD * part:
        wrong.append("std")
    if not wrong:
        return None
    raised = {
        name: _times(values, LEVELS * part) if name in wrong else values
        for name, values in given.items()
    }
    lowered = {
        name: values if name in wrong or values == (1.0, 1.0, 1.0) else _times(values, 1 / LEVELS)
        for name, values in given.items()
    }
    return (
        f"{_named(given, wrong)} for pixels from 0 to 1, but with a scale of {spec.scale:g} pixels "
        f"go from 0 to {white:g}. If the network takes pixels from 0 to {white:g}, give the values "
        f"times 255: {_both(raised['mean'], raised['std'])} (mean 0,0,0 and std 1,1,1 leave pixels "
        f"unchanged). If it takes pixels from 0 to 1, use {words.divided} with "
        f"{_both(lowered['mean'], lowered['std'])}."
    )


def _fits_raw(name: str, values: Three) -> bool:
    """Whether small values are also valid for pixels from 0 to 255."""
    return not any(values) if name == "mean" else min(values) >= LEAST_STD


def _times(values: Three, factor: float) -> Three:
    first, second, third = values
    return first * factor, second * factor, third * factor


def _named(given: dict[str, Three], wrong: list[str]) -> str:
    fields = " and the ".join(f"{name} {_listed(given[name])}" for name in wrong)
    return f"The {fields} {'is' if len(wrong) == 1 else 'are'}"


def _both(mean: Three, std: Three) -> str:
    return f"mean {_listed(mean)} and std {_listed(std)}"


def _listed(values: Three) -> str:
    return ",".join(f"{value:.6g}" for value in values)

"""Mean and deviation must be of the pixels that they are taken from: 0 to 1, or 0 to 255.

A pixel becomes (pixel * scale - mean) / std. Values of the other scale give a number that looks
like any other and is wrong, so they are refused where a user gives them. Stored specs are not
judged: they say what was done.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import InvalidRequest
from engine.preprocess.spec import PIXEL_SCALE, PreprocessSpec

LEVELS = 255.0
# No mean is twice white, and no deviation five times.
MOST_MEAN, MOST_STD = 2.0, 5.0
# White of about 255: values below its 255th part are of pixels from 0 to 1.
WHOLE_LEVELS = 100.0
# A deviation of 1 belongs to either scale; below it, to pixels from 0 to 1.
LEAST_STD = 0.9


@dataclass(frozen=True, slots=True)
class Wording:
    """How a user asks for pixels from 0 to 255 (`raw`) and from 0 to 1 (`divided`)."""

    raw: str
    divided: str


USUAL = Wording(
    '`--scale 1` (`"scale": 1` in a JSON file; on the page, a Scale of 1)',
    "the scale of 1/255",
)
Three = tuple[float, float, float]


def require_one_scale(spec: PreprocessSpec, words: Wording = USUAL) -> PreprocessSpec:
    """Returns the spec; raises InvalidRequest with both readings where its scales do not agree."""
    problem = scale_problem(spec, words)
    if problem is not None:
        raise InvalidRequest(problem)
    return spec


def scale_problem(spec: PreprocessSpec, words: Wording = USUAL) -> str | None:
    """One sentence where mean or deviation are of another scale than the pixels; else None."""
    white = LEVELS * spec.scale
    if white >= WHOLE_LEVELS:
        return _of_unit_pixels(spec, white, words)
    return _of_raw_pixels(spec, white, words)


def raw_levels(spec: PreprocessSpec) -> tuple[Three, Three]:
    """(mean, std) that do the same to pixels from 0 to 255, with a scale of 1."""
    return _times(spec.mean, 1 / spec.scale), _times(spec.std, 1 / spec.scale)


def _of_raw_pixels(spec: PreprocessSpec, white: float, words: Wording) -> str | None:
    """Values of pixels from 0 to 255 where pixels are scaled down."""
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
                f"The {name} {_listed(given[name])} mixes values of pixels from 0 to 255 with "
                f"values of pixels from 0 to {white:g}; give all three of one scale, and for "
                f"pixels from 0 to 255 {words.raw}."
            )
    scaled = {**given, **{name: _times(given[name], spec.scale) for name in wrong}}
    other = {
        name: given[name] if name in wrong or _fits_raw(name, given[name]) else raw
        for name, raw in zip(given, raw_levels(spec), strict=True)
    }
    how = "divided by 255" if spec.scale == PIXEL_SCALE else f"times the scale of {spec.scale:g}"
    return (
        f"{_named(given, wrong)} of pixels from 0 to 255, but pixels go from 0 to {white:g} here. "
        f"If the network takes pixels from 0 to {white:g}, give the values {how}: "
        f"{_both(scaled['mean'], scaled['std'])}. If it takes pixels from 0 to 255, use "
        f"{words.raw} with {_both(other['mean'], other['std'])}."
    )


def _of_unit_pixels(spec: PreprocessSpec, white: float, words: Wording) -> str | None:
    """Values of pixels from 0 to 1 where pixels go up to about 255."""
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
        f"{_named(given, wrong)} of pixels from 0 to 1, but with a scale of {spec.scale:g} pixels "
        f"go from 0 to {white:g}. If the network takes pixels from 0 to {white:g}, give the values "
        f"times 255: {_both(raised['mean'], raised['std'])} (mean 0,0,0 and std 1,1,1 leave pixels "
        f"as they are). If it takes pixels from 0 to 1, use {words.divided} with "
        f"{_both(lowered['mean'], lowered['std'])}."
    )


def _fits_raw(name: str, values: Three) -> bool:
    """Whether values that are small may also be of pixels from 0 to 255."""
    return not any(values) if name == "mean" else min(values) >= LEAST_STD


def _times(values: Three, factor: float) -> Three:
    first, second, third = values
    return first * factor, second * factor, third * factor


def _named(given: dict[str, Three], wrong: list[str]) -> str:
    told = " and the ".join(f"{name} {_listed(given[name])}" for name in wrong)
    return f"The {told} {'is' if len(wrong) == 1 else 'are'}"


def _both(mean: Three, std: Three) -> str:
    return f"mean {_listed(mean)} and std {_listed(std)}"


def _listed(values: Three) -> str:
    return ",".join(f"{value:.6g}" for value in values)

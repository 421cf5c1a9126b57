"""What is wrong in an int8 file, or in a runtime, as sentences that name the layer."""

from __future__ import annotations

from collections.abc import Iterator

from engine.layer_errors.records import RuntimeErrors, TensorErrors
from engine.runtimes.registry import label_of

LOWEST_DB = 15.0
"""A single layer of a good build has 20 dB and more (SE MobileNetV3, demo)."""
LARGEST_GAP_DB = 25.0
"""Between storing a tensor and computing it from exact inputs; a good build has at most 18."""
SMALLEST_GAP_DB = 6.0
MOST_CLIPPED = 0.05
FEWEST_LEVELS, COARSE_DB = 0.1, 35.0
MOST_DIFFERING = 1e-3
"""Share of values more than one level from the file; runtimes round a tie one level apart."""


def findings_of(tensors: list[TensorErrors]) -> list[str]:
    """One sentence for each tensor that the file or a runtime gets wrong, in graph order."""
    return [sentence for one in tensors for sentence in (*_of_file(one), *_of_runtimes(one))]


def _of_file(one: TensorErrors) -> Iterator[str]:
    if one.written_scale is not None and one.scale is not None:
        yield (
            f"{one.name}: written with scale {one.written_scale:.3g} and read with "
            f"{one.scale:.3g}; the two must be equal."
        )
    if not one.saturates and one.clipped is not None and one.clipped > MOST_CLIPPED:
        yield (
            f"{one.name}: {one.clipped:.0%} of the fp32 values are outside its range; its scale is "
            f"too small, or the calibration images are unlike these."
        )
    elif _is_coarse(one):
        yield f"{one.name}: only {one.used:.0%} of its levels are used; its scale is too large."
    elif one.single_db is not None and _is_computed_wrongly(one):
        stored = (
            f", where storing the fp32 values has {one.rounding_db:.1f} dB"
            if one.rounding_db is not None
            else ""
        )
        yield (
            f"{one.name}: {one.single_db:.1f} dB from exact inputs{stored}; its weights, their "
            f"scales or its bias are wrong."
        )


def _is_coarse(one: TensorErrors) -> bool:
    if one.saturates or one.used is None or one.rounding_db is None:
        return False
    return one.used < FEWEST_LEVELS and one.rounding_db < COARSE_DB


def _is_computed_wrongly(one: TensorErrors) -> bool:
    assert one.single_db is not None
    if one.rounding_db is None:
        return one.single_db < LOWEST_DB
    gap = one.rounding_db - one.single_db
    if one.saturates:  # what is clipped on purpose makes both figures low
        return one.single_db < LOWEST_DB and gap > SMALLEST_GAP_DB
    return one.single_db < LOWEST_DB or gap > LARGEST_GAP_DB


def _of_runtimes(one: TensorErrors) -> Iterator[str]:
    for name, errors in one.runtimes.items():
        if computes_otherwise(errors):
            yield (
                f"{label_of(name)} computes {one.name} otherwise than the file says: "
                f"{errors.differing:.1%} of the values differ by more than one level, by up to "
                f"{errors.levels:.0f}, from the same inputs."
            )


def computes_otherwise(errors: RuntimeErrors) -> bool:
    """Whether a runtime computes something else than the file says."""
    return errors.differing > MOST_DIFFERING

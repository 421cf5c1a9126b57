"""What is wrong in an int8 file, or in a runtime, as sentences that name the layer."""

from __future__ import annotations

from collections.abc import Iterator

from engine.layer_errors.records import HARD_SWISH_GATE, RuntimeErrors, TensorErrors
from engine.runtimes.registry import label_of

LOWEST_DB = 15.0
"""SQNR of a layer in float behind quantized ones, alone; sound ones have 30 dB and more."""
FAR = ((3.0, 0.06), (1.5, 0.18))
"""What a layer computes from exact inputs against fp32 as stored: more levels off, and a larger
share of the standard deviation. Layers of sound builds are at most 2.6 levels off, and by more than
0.07 only where that is at most 1.5 levels."""
FAR_OF_GATES = ((5.0, 0.1), (3.0, 0.18))
"""The same without weights of the network: a gate amplifies the rounding of its input, up to 3.4
levels and 0.07 in sound builds."""
MOST_CLIPPED = 0.05
LARGEST_RANGE_LOSS_DB = 10.0
"""Noise of storing above that of the best range; sound tensors lose at most 8.2 dB."""
MOST_DIFFERING = 1e-3
"""Share of values more than one level from the file; runtimes round a tie one level apart."""

LARGEST_SCORES_GAP_DB = 6.0
"""Of the scores, between the file and a runtime; sound builds have at most 2."""


def findings_of(tensors: list[TensorErrors]) -> list[str]:
    """One sentence for each tensor that the file or a runtime gets wrong, in graph order."""
    found = [sentence for one in tensors for sentence in (*_of_file(one), *_of_runtimes(one))]
    return [*found, *_of_scores(tensors)]


def _of_file(one: TensorErrors) -> Iterator[str]:
    if one.written_scale is not None and one.scale is not None:
        yield (
            f"{one.name}: written with scale {one.written_scale:.3g} and read with "
            f"{one.scale:.3g}; the two must be equal."
        )
    if one.written_zero_point is not None:
        yield (
            f"{one.name}: written with zero point {one.written_zero_point} and read with "
            f"{one.zero_point}; the two must be equal."
        )
    wrong_range = None if one.saturates else _wrong_range(one)
    if wrong_range is not None:
        yield wrong_range
    elif _is_computed_wrongly(one):
        yield f"{one.name}: {_distance(one)}; its weights, their scales or its bias are wrong."


def _wrong_range(one: TensorErrors) -> str | None:
    unlike = "or the calibration images are unlike these."
    if one.clipped is not None and one.clipped > MOST_CLIPPED:
        return (
            f"{one.name}: {one.clipped:.0%} of the fp32 values are outside its range; its scale is "
            f"too small or its zero point is wrong, {unlike}"
        )
    if one.range_loss_db is None or one.range_loss_db < LARGEST_RANGE_LOSS_DB:
        return None
    loss = f"storing it costs {one.range_loss_db:.0f} dB more than the best range for these images"
    if one.clipped:
        return (
            f"{one.name}: {loss}, and {one.clipped:.2%} of the fp32 values are outside its range; "
            f"its scale is too small or its zero point is wrong, {unlike}"
        )
    used = f"{one.used:.0%}" if one.used is not None else "few"
    return (
        f"{one.name}: {loss}, as only {used} of its levels are used; its scale is too large, "
        f"{unlike}"
    )


def _is_computed_wrongly(one: TensorErrors) -> bool:
    if one.deviation_levels is None:
        return one.single_db is not None and one.single_db < LOWEST_DB
    if one.deviation is None:
        return False
    limits = FAR_OF_GATES if one.op == HARD_SWISH_GATE or not one.layers else FAR
    return any(one.deviation_levels > levels and one.deviation > share for levels, share in limits)


def _distance(one: TensorErrors) -> str:
    if one.deviation_levels is None or one.deviation is None:
        return f"{one.single_db:.1f} dB from exact inputs"
    return (
        f"{one.deviation_levels:.1f} levels off fp32 as stored, from exact inputs "
        f"({one.deviation:.0%} of the standard deviation)"
    )


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


def _of_scores(tensors: list[TensorErrors]) -> Iterator[str]:
    """Runtimes whose fused kernels compute another network, though each layer alone is right."""
    if not tensors:
        return
    last = tensors[-1]
    for name, errors in last.runtimes.items():
        if last.accumulated_db is None or errors.accumulated_db is None:
            continue
        if any(computes_otherwise(one.runtimes[name]) for one in tensors if name in one.runtimes):
            continue
        if last.accumulated_db - errors.accumulated_db > LARGEST_SCORES_GAP_DB:
            yield (
                f"{label_of(name)} computes the whole network otherwise than the file says: its "
                f"scores have {errors.accumulated_db:.1f} dB against fp32, those of the file "
                f"{last.accumulated_db:.1f} dB. It fuses layers across what is compared here layer "
                f"by layer: run this build in another runtime, or build for another target."
            )

"""Exclusions in the order of noise per millisecond, with conversions as part of the price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.build.int8.mixed_precision.exclusion_order import ExclusionPrices, order_exclusions
from engine.build.int8.mixed_precision.layer_selection import SensitivityAnalysis, list_layers
from engine.build.int8.mixed_precision.layer_times import LayerTimes, measure_layer_times
from engine.build.int8.mixed_precision.sensitivity import Sensitivity
from engine.build.int8.pipeline import PreparedModel, prepare
from tests.support.int8_requests import calibration_settings
from tests.support.mobile import mobile_model

LAYERS = ("c", "d", "e1", "e3", "p", "q")
EQUAL = LayerTimes(dict.fromkeys(LAYERS, 1.0), dict.fromkeys(LAYERS, 2.0), 0.0)


@pytest.fixture(scope="module")
def prepared() -> PreparedModel:
    return prepare(mobile_model(), calibration_settings())


def prices_of(prepared: PreparedModel, noise: Sensitivity, times: LayerTimes) -> ExclusionPrices:
    view = prepared.placement.view
    return ExclusionPrices(prepared.model, view, frozenset(), noise, times)


def test_the_cheaper_of_two_equally_sensitive_layers_is_excluded_first(
    prepared: PreparedModel,
) -> None:
    noise = Sensitivity(1.0, {"e1": 0.1, "p": 0.1}, {})
    for cheap, dear in (("e1", "p"), ("p", "e1")):
        times = replace(EQUAL, float_ms=EQUAL.float_ms | {dear: 9.0})
        path = order_exclusions(prices_of(prepared, noise, times), LAYERS)
        assert path[0].layers == frozenset()
        assert path[1].layers == {cheap}
        assert path[-1].layers == {cheap, dear}
        assert path[-1].price_ms == pytest.approx(9.0)


def test_a_layer_that_is_faster_in_float_comes_first(prepared: PreparedModel) -> None:
    noise = Sensitivity(1.0, {"e1": 0.5, "d": 0.001}, {})
    times = replace(EQUAL, float_ms=EQUAL.float_ms | {"d": 0.5})
    path = order_exclusions(prices_of(prepared, noise, times), LAYERS)
    assert path[1].layers == {"d"}
    assert path[1].price_ms == pytest.approx(-0.5)


def test_conversions_between_two_layers_in_float_are_not_paid(prepared: PreparedModel) -> None:
    """p feeds q and the sum: beside q, excluding p costs less than alone."""
    times = replace(EQUAL, conversion_ns=1e6)
    prices = prices_of(prepared, Sensitivity(1.0, dict.fromkeys(LAYERS, 0.1), {}), times)
    alone = [prices.exclusion(frozenset({name})) for name in ("p", "q")]
    both = prices.exclusion(frozenset({"p", "q"}))
    assert alone[0].price_ms > 1.0
    assert both.price_ms < alone[0].price_ms + alone[1].price_ms


def test_a_tensor_that_is_no_longer_rounded_counts(prepared: PreparedModel) -> None:
    noise = Sensitivity(1.0, dict.fromkeys(LAYERS, 0.1), {"p": 0.3})
    prices = prices_of(prepared, noise, EQUAL)
    assert prices.exclusion(frozenset({"q"})).noise == pytest.approx(0.1)
    assert prices.exclusion(frozenset({"p", "q"})).noise == pytest.approx(0.5)


def test_a_selection_by_time_keeps_within_the_share_of_macs(prepared: PreparedModel) -> None:
    noise = Sensitivity(1.0, dict.fromkeys(LAYERS, 0.1), {})
    view = prepared.placement.view
    analysis = SensitivityAnalysis(list_layers(prepared.model, view), noise, view)
    path = order_exclusions(prices_of(prepared, noise, EQUAL), LAYERS)
    for share in (0.0, 0.1, 0.5, 1.0):
        assert analysis.macs_share(analysis.select_by_time(path, share)) <= share
    assert analysis.select_by_time(path, 1.0) == set(LAYERS)


@pytest.mark.integration
def test_every_layer_is_timed_in_int8_and_in_float(prepared: PreparedModel) -> None:
    times = measure_layer_times(LAYERS, prepared.placement.view, 1)
    assert set(times.int8_ms) == set(times.float_ms) == set(LAYERS)
    assert all(np.array([*times.int8_ms.values(), *times.float_ms.values()]) > 0)
    assert times.conversion_ns >= 0

"""One speed, two speeds, a drift: what the rounds say, and the machine's spread over sessions."""

from __future__ import annotations

import numpy as np
import pytest

from engine.benchmark.comparison import ratio_text, spread_of_machine
from engine.benchmark.machine_state import observe_state, state_sentence
from engine.common.ratios import SpeedRatio


def test_two_speeds_are_named_with_the_share_of_the_upper() -> None:
    rates = [519, 516, 908, 922, 922, 509, 895, 895, 863, 902]
    found = observe_state(rates)
    assert found is not None
    assert (found.kind, found.upper_share) == ("two speeds", 0.7)
    assert (
        state_sentence(found) == "two speeds: 515 and 901 images/s, 70 % of the rounds in the upper"
    )


def test_a_drift_is_named_with_its_ends() -> None:
    found = observe_state([100 - n for n in range(12)])
    assert found is not None
    assert state_sentence(found) == "the speed drifted from 98.5 to 90.5 images/s"


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_one_speed(seed: int) -> None:
    rates = np.random.default_rng(seed).normal(100, 2, 20).tolist()
    found = observe_state(rates)
    assert found is not None
    assert found.kind == "steady"
    assert state_sentence(found) is None


def test_a_single_slow_round_is_no_second_speed() -> None:
    found = observe_state([100.0] * 9 + [50.0])
    assert found is not None
    assert found.kind == "steady"


def test_few_rounds_are_not_judged() -> None:
    found = observe_state([50.0, 100.0])
    assert found is not None
    assert (found.kind, found.low, found.high) == ("steady", 50.0, 100.0)
    assert observe_state([]) is None


def test_the_spread_of_the_machine_is_that_of_its_readings() -> None:
    def protocol(session: str, gflops: float) -> dict[str, object]:
        rounds = [{"number": n, "position": 0, "machine_gflops": gflops} for n in range(8)]
        return {"session": session, "rounds": rounds}

    slow, fast = protocol("a", 50.0), protocol("b", 100.0)
    assert spread_of_machine([slow]) is None, "too few readings"
    assert spread_of_machine([slow, slow, {}]) is None, "one session counts once"
    found = spread_of_machine([slow, fast])
    assert found == pytest.approx(np.std([np.log(50)] * 8 + [np.log(100)] * 8, ddof=1))


def test_a_ratio_in_words() -> None:
    assert ratio_text(SpeedRatio(2.0, 1.9, 2.1, 0.01, 8, paired=True)) == (
        "2.00 × (paired 95 % interval 1.90 to 2.10)"
    )
    across = ratio_text(SpeedRatio(2.0, 1.5, 2.5, 0.01, 0, paired=False))
    assert "different sessions" in across
    assert ratio_text(SpeedRatio(2.0, None, None, None, 1, paired=True)).endswith("no interval)")

"""Time by stage, one progress over all stages, and a random part of the drawn images."""

from __future__ import annotations

import time

import numpy as np
import pytest

from engine.build.int8.stages import BuildProgress, Stage, StageTimes
from engine.build.int8.statistics.histograms import first_images


def test_a_stage_within_another_counts_once() -> None:
    times = StageTimes()
    with times.measure(Stage.SEARCH):
        with times.measure(Stage.RANGES):
            time.sleep(0.05)
        with times.measure(Stage.RANGES):
            time.sleep(0.05)
    found = {row.stage: row.seconds for row in times.facts()}
    assert found[Stage.RANGES] >= 0.1
    assert found[Stage.SEARCH] < found[Stage.RANGES]


def test_progress_is_one_growing_count_over_all_stages() -> None:
    calls: list[tuple[int, int, str, str]] = []
    progress = BuildProgress(
        lambda *values: calls.append(values),
        {Stage.STATISTICS: 300, Stage.RANGES: 64, Stage.SENSITIVITY: 136},
    )
    progress.update(Stage.STATISTICS, 0.5)
    progress.update(Stage.SENSITIVITY, 0.0)
    progress.update(Stage.RANGES, 0.5)
    progress.update(Stage.SENSITIVITY, 1.0)
    assert [done for done, *_ in calls] == [150, 364, 364, 500]
    assert {total for _, total, *_ in calls} == {500}
    assert calls[-1][2:] == ("inferences", "Sensitivity analysis")


@pytest.mark.parametrize(("count", "read"), [(3, 1), (4, 1), (6, 2), (99, 3)])
def test_only_the_batches_that_are_needed_are_read(count: int, read: int) -> None:
    asked: list[int] = []

    def batches():
        for number in range(3):
            asked.append(number)
            yield np.full((4, 1), number)

    found = np.concatenate(list(first_images(batches(), count)))
    assert len(found) == min(count, 12)
    assert len(asked) == read

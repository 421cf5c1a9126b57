from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from dashboard.charts.accuracy import (
    ChartOptions,
    accuracy_against_compute,
    accuracy_against_throughput,
    accuracy_chart,
    drawable,
)
from dashboard.charts.accuracy_marks import ColorBy
from dashboard.charts.common import CARD_WIDTH, card, layout, log_range, log_ticks, percent_range
from dashboard.charts.cost_axes import COST_AXES, THROUGHPUT, axis_named
from dashboard.charts.excitations import excitations
from dashboard.charts.precision_pairs import accuracy_change, speed_and_size
from dashboard.charts.rounds import MeasuredRounds, takeaway, throughput_over_rounds
from dashboard.palette import DARK, LIGHT, symbols
from engine.benchmark.machine_state import observe_state
from engine.catalog.models import catalog
from engine.common.pareto import pareto_front
from engine.results.groups import accuracy_points
from engine.results.published import with_estimates, with_gmacs
from engine.specs.precisions import PRECISIONS
from engine.store.protocols import BenchmarkProtocol, Round
from tests.support.points import point

THREE = pd.DataFrame([point("fp32", 80.0, 10), point("fp16", 79.9, 9), point("int8", 79.0, 30)])


def trace(figure: object, name: str) -> object:
    return next(t for t in figure.data if t.name == name and tuple(t.x) != (None,))


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_each_precision_has_its_color_symbol_and_interval(palette: object) -> None:
    figure = accuracy_against_throughput(THREE, palette, "val", "batch 1")
    for precision in ("fp32", "fp16", "int8"):
        drawn = trace(figure, precision)
        assert drawn.marker.color == palette.precisions[precision]
        hollow = "-open" if precision == "fp16" else ""  # fp32 is faster and more accurate
        assert drawn.marker.symbol == (symbols()[precision] + hollow,)
        assert drawn.error_y.array == pytest.approx([1.0])
        assert drawn.error_y.arrayminus == pytest.approx([2.0])
        assert len(drawn.error_x.array) == 1


def test_colors_and_symbols_are_all_different() -> None:
    for palette in (LIGHT, DARK):
        assert len({*palette.precisions.values(), palette.published}) == len(PRECISIONS) + 1
    assert len(set(symbols().values())) == len(PRECISIONS)


def test_axes_carry_unit_direction_and_condition() -> None:
    figure = accuracy_against_throughput(THREE, LIGHT, "val · 1,000 images", "batch 1, 2 threads")
    assert "images/s" in figure.layout.xaxis.title.text
    assert "batch 1, 2 threads" in figure.layout.xaxis.title.text
    assert "higher is better →" in figure.layout.xaxis.title.text
    assert "%" in figure.layout.yaxis.title.text
    assert "val · 1,000 images" in figure.layout.yaxis.title.text


def test_precisions_of_one_model_stand_at_its_true_compute() -> None:
    figure = accuracy_against_compute(THREE, None, LIGHT, "val")
    places = [trace(figure, precision).x[0] for precision in ("fp32", "fp16", "int8")]
    assert places == [4.0, 4.0, 4.0]
    assert all("4.00 GMACs" in trace(figure, p).customdata[0][0] for p in ("fp32", "fp16", "int8"))


@pytest.mark.parametrize("name", list(COST_AXES))
def test_each_axis_has_its_figures_its_pareto_front_and_its_limit(name: str) -> None:
    rows = THREE.assign(latency_p90_ms=[100, 110, 33], size_mb=[90, 45, 25], peak_rss_mb=200)
    axis = axis_named(name)
    limit = float(drawable(rows, axis)[axis.column].max())
    figure = accuracy_chart(rows, axis, LIGHT, ChartOptions("val", "batch 1", limit=limit))
    assert [trace(figure, p).x[0] for p in ("fp32", "fp16", "int8")] == list(
        drawable(rows, axis)[axis.column]
    )
    assert figure.layout.shapes[0].x0 == limit
    assert ("higher is better →" in figure.layout.xaxis.title.text) == (name == "Throughput")
    assert ("batch 1" in figure.layout.xaxis.title.text) == (not axis.of_build)
    filled = [p for p in THREE["precision"] if not trace(figure, p).marker.symbol[0].endswith("n")]
    expected = {"Throughput": 2, "Latency": 2, "Size": 3}
    assert len(filled) == expected.get(name, 1)


def test_a_limit_far_from_all_points_does_not_press_them_together() -> None:
    near, far = (
        accuracy_chart(THREE, COST_AXES["Size"], LIGHT, ChartOptions("val", limit=limit))
        for limit in (150.0, 1e6)
    )
    assert 10 ** near.layout.xaxis.range[1] > 150
    assert 10 ** far.layout.xaxis.range[1] < 1e4


def test_colors_may_be_those_of_the_models() -> None:
    rows = pd.concat([THREE.assign(label=f"m{n}", weights_digest=f"w{n}") for n in range(10)])
    rows = rows.assign(top1=range(30, 60))
    options = ChartOptions("val", color_by=ColorBy.MODEL)
    figure = accuracy_chart(rows, THROUGHPUT, LIGHT, options)
    drawn = [t for t in figure.data if t.customdata is not None]
    assert {t.marker.color for t in drawn} == {*LIGHT.models, LIGHT.published}
    assert len({t.name for t in drawn}) == len(LIGHT.models) + 1
    legend = {t.name for t in figure.data if t.showlegend}
    assert {"m9", "other models", "fp32", "int8"} <= legend


def test_a_hover_card_holds_every_figure() -> None:
    row = point(
        "int8", 79.0, 30, top5=94.5, drop_pp=0.4, speed_up=2.9, speed_up_low=2.8,
        speed_up_high=3.0, latency_p90_ms=3.3, latency_p99_ms=4.1, peak_rss_mb=310.0,
    )  # fmt: skip
    card = trace(accuracy_against_throughput(pd.DataFrame([row]), LIGHT, "val", ""), "int8")
    told = card.customdata[0][0].replace("<br>", " ")
    for part in ("top-5 94.50 %", "0.40 pp", "2.90 × its fp32", "p99 4.10 ms", "310 MB of memory"):
        assert part in told


def test_marks_of_several_runtimes_have_a_tag() -> None:
    other = point("fp32", 80.0, 12, runtime="openvino 2026.4.1")
    both = pd.concat([THREE, pd.DataFrame([other])]).assign(several_runtimes=True)
    drawn = trace(accuracy_against_compute(both, None, LIGHT, "val"), "fp32")
    assert [text.strip("\u00a0") for text in drawn.text] == ["<i>ORT</i>", "<i>OV</i>"]
    assert "openvino 2026.4.1" in drawn.customdata[1][0]


def test_arrows_lead_from_fp32_to_the_others_of_one_model_prepared_one_way() -> None:
    other = pd.DataFrame([point("fp32", 70, 5, preprocess="q"), point("fp32", 60, 5, label="b")])
    figure = accuracy_against_throughput(pd.concat([THREE, other]), LIGHT, "val", "batch 1")
    (arrows,) = [t for t in figure.data if t.mode == "lines+markers"]
    assert list(arrows.x) == [10, 9, None, 10, 30, None]
    assert arrows.marker.symbol == "arrow"
    assert list(arrows.marker.size) == [0, 9, 0, 0, 9, 0]


def test_builds_outside_the_constraints_are_gray_and_the_recommended_one_is_ringed() -> None:
    rows = THREE.assign(
        meets=[True, False, True], recommended=[False, False, True], key=["a", "b", "c"]
    )
    figure = accuracy_against_throughput(rows, LIGHT, "val", "batch 1")
    (gray,) = [t for t in figure.data if t.name == "outside the constraints" and t.x[0] is not None]
    assert gray.marker.color == LIGHT.published
    assert gray.customdata[0][1] == "b"
    ring = trace(figure, "recommended: timm/a int8")
    assert list(ring.x) == [30]
    (name,) = [note for note in figure.layout.annotations if note.text == "a"]
    assert (10**name.x, name.y) == pytest.approx((30, ring.y[0]))
    assert name.bgcolor is None, "a box would hide marks"


def test_over_sixty_points_only_the_recommended_build_has_an_interval() -> None:
    crowd = pd.concat([THREE.assign(label=f"m{n}", weights_digest=f"w{n}") for n in range(21)])
    crowd = crowd.assign(recommended=[True] + [False] * 62)
    figure = accuracy_against_throughput(crowd, LIGHT, "val", "batch 1")
    drawn = [t for t in figure.data if t.customdata is not None]
    spans = [span for t in drawn if t.error_y.array is not None for span in t.error_y.array]
    assert sum(span > 0 for span in spans) == 1


def test_an_unreliable_speed_has_a_question_mark_beside_it() -> None:
    rows = THREE.assign(noise=[None, "the clock moved by 15 %", None], stable=[True, True, False])
    figure = accuracy_against_throughput(rows, LIGHT, "val", "batch 1")
    assert ["?" in trace(figure, p).text[0] for p in THREE["precision"]] == [False, True, True]
    assert trace(figure, "fp16").textposition == ("top right",), "above the Pareto front"
    assert "clock moved by 15 %" in trace(figure, "fp16").customdata[0][0]
    compute = accuracy_against_compute(rows, None, LIGHT, "val")
    assert trace(compute, "fp16").text == ("",), "the compute was not measured by the clock"


def test_a_crowd_of_models_has_no_arrows() -> None:
    crowd = pd.concat([THREE.assign(label=f"m{n}", weights_digest=f"w{n}") for n in range(50)])
    figure = accuracy_against_throughput(crowd, LIGHT, "val", "batch 1")
    assert not [t for t in figure.data if t.mode == "lines+markers"]


def test_collapsed_builds_are_marked_and_not_on_the_pareto_front() -> None:
    fallen = pd.DataFrame([point("int8", 0.4, 1000, at_chance=True)])
    figure = accuracy_against_throughput(pd.concat([THREE, fallen]), LIGHT, "val", "batch 1")
    assert trace(figure, "int8").text == ("", "collapsed")
    assert trace(figure, "int8").marker.symbol == ("diamond", "diamond-open")
    assert 1000 not in trace(figure, "Pareto front").x


def test_random_weights_are_no_accuracy_points() -> None:
    rows = pd.concat([THREE, pd.DataFrame([point("fp32", 0.1, 99, weights_kind="random")])])
    assert set(accuracy_points(rows)["top1"]) == {80.0, 79.9, 79.0}


def test_names_are_no_markup_in_a_hover_card() -> None:
    rows = pd.DataFrame([point("fp32", 80, 10, label="onnx/<a href='x'>y")])
    card = trace(accuracy_against_compute(rows, None, LIGHT, "val"), "fp32").customdata[0][0]
    assert "<a" not in card
    assert "&lt;a" in card


def test_names_are_no_markup_in_titles_and_templates() -> None:
    hostile = "<b>val</b> %{x} \x1b[1m"
    figure = accuracy_against_throughput(THREE, LIGHT, hostile, hostile)
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert "&lt;b&gt;val&lt;/b&gt; %&#123;x} \\x1b" in axis.title.text
    (title,) = (
        text.text for text in excitations([hostile], [np.ones(3)], None, LIGHT).layout.annotations
    )
    assert title.startswith("&lt;b&gt;")


def test_the_pareto_front_has_the_points_that_no_other_dominates() -> None:
    costs, values = pd.Series([1, 2, 2, 3, 4]), pd.Series([10, 30, 30, 20, 40])
    assert pareto_front(costs, values) == [0, 1, 4]
    assert pareto_front(pd.Series([], dtype=float), pd.Series([], dtype=float)) == []


def published() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model_id": model.id,
            "source": model.source,
            "name": model.name,
            "top1": model.published_top1,
            "top5": model.published_top5,
            "published_flops_g": model.published_flops_g,
            "published_params_m": model.published_params_m,
            "compute_gmacs": None,
        }
        for model in catalog().values()
    )


def test_published_flops_become_macs_by_their_own_convention() -> None:
    table = published()
    table.loc[table["model_id"] == "timm/seresnet152d", "compute_gmacs"] = 24.08
    rows = with_gmacs(table).set_index("model_id")
    assert rows.loc["timm/seresnet50", "gmacs"] == pytest.approx(9.192 * 0.9 / 2)
    assert rows.loc["mmcls/seresnet50", "gmacs"] == pytest.approx(8.26 / 2)
    assert rows.loc["ppcls/senet154", "gmacs"] == pytest.approx(45.83 / 2)
    assert rows.loc["timm/seresnet152d", "gmacs"] == pytest.approx(24.08)
    assert not rows.loc["timm/seresnet152d", "approximate"]
    assert rows["approximate"].sum() == 24


def test_published_rows_are_small_gray_crosses_and_approximate() -> None:
    figure = accuracy_against_compute(THREE[:0], with_gmacs(published()), LIGHT, "ImageNet-1k")
    (drawn,) = figure.data
    assert len(drawn.x) == 25
    assert drawn.marker.symbol.startswith("x")
    assert drawn.marker.color == LIGHT.published
    assert "~" in figure.layout.xaxis.title.text
    assert all("~" in card and "published" in card for card in drawn.customdata)


@pytest.mark.parametrize("values", [[0.035], [1.0, 1.0], [2, 31], [0.001, 5000], []])
def test_log_axes_always_have_two_ticks_within_range(values: list[float]) -> None:
    ticks, texts = log_ticks(values)
    low, high = log_range(values)
    assert 2 <= len(ticks) == len(texts)
    assert all(low <= math.log10(tick) <= high for tick in ticks)
    assert all(low < math.log10(value) < high for value in values)


def test_percent_axis_stays_within_bounds_and_is_not_zero_based() -> None:
    assert percent_range([79], [81]) == pytest.approx((77.4, 82.5), abs=0.7)
    assert percent_range([0.0], [100.0]) == (0.0, 100.5)


PAIRS = pd.DataFrame(
    {
        "label": ["a", "b"],
        "change": [-1.5, 0.2],
        "change_low": [-2.0, -0.1],
        "change_high": [-1.0, 0.5],
        "p_value": [0.01, 0.6],
        "only_first": [20, 1],
        "only_second": [5, 3],
        "images": [1000, 1000],
        "dataset": ["val", "val"],
        "batch": [1, 1],
        "threads": [2, 2],
        "environment": ["A CPU", "A CPU"],
        "speed_up": [2.5, 0.5],
        "speed_up_low": [2.4, None],
        "speed_up_high": [2.7, None],
        "speed_up_p": [0.008, None],
        "speed_paired": [True, False],
        "size_ratio": [0.5, 0.25],
    }
)


def test_change_is_told_by_sign_and_glyph_not_color_alone() -> None:
    figure = accuracy_change(PAIRS, "fp16", "int8", LIGHT)
    assert list(figure.data[0].x) == [0.2, -1.5]
    assert figure.data[0].error_x.array == pytest.approx((0.3, 0.5))
    texts = {note.text for note in figure.layout.annotations}
    assert {"▲ +0.20", "▼ −1.50"} <= texts
    assert "int8 minus fp16" in figure.layout.xaxis.title.text


def test_ratios_stand_on_one_log_axis() -> None:
    figure = speed_and_size(PAIRS, "fp16", "int8", DARK)
    speed, size = figure.data
    assert list(speed.x) == [0.5, 2.5]
    assert list(size.x) == [0.25, 0.5]
    assert speed.error_x.array[1] == pytest.approx(0.2)
    assert speed.error_x.arrayminus[1] == pytest.approx(0.1)
    cards = list(speed.customdata)
    assert "different sessions" in cards[0]
    assert "paired 95 % interval 2.40 to 2.70: significant" in cards[1]
    assert figure.layout.xaxis.type == "log"
    assert "1×" in figure.layout.xaxis.ticktext


def test_rounds_are_drawn_over_the_speed_of_the_machine() -> None:
    def build(precision: str, rate: float) -> MeasuredRounds:
        measured = [
            Round(number=n, images_per_s=rate / (1 + n % 2), machine_gflops=80.0 - 40 * (n % 2))
            for n in range(8)
        ]
        state = observe_state([one.machine_gflops for one in measured if one.machine_gflops])
        protocol = BenchmarkProtocol(session="s", rounds=measured, speedometer=state)
        return MeasuredRounds("a", precision, protocol)

    builds = [build("fp32", 100.0), build("int8", 200.0)]
    figure = throughput_over_rounds(builds, LIGHT)
    machine, fp32, int8 = figure.data
    assert list(machine.y) == [80.0, 40.0] * 4
    assert machine.yaxis == "y2"
    assert list(fp32.x) == list(range(1, 9))
    assert list(int8.y) == [200.0, 100.0] * 4
    assert "two speeds: 40 and 80 GFLOP/s" in takeaway(builds)


def test_pairs_without_one_side_are_left_out() -> None:
    half = PAIRS.assign(change=[None, 0.2], speed_up=[2.5, None])
    assert len(accuracy_change(half, "fp16", "int8", LIGHT).data[0].x) == 1
    assert len(speed_and_size(half, "fp16", "int8", LIGHT).data[0].x) == 1


def test_an_unfinished_evaluation_is_no_accuracy_point() -> None:
    rows = pd.concat([THREE, pd.DataFrame([point("fp32", 95.0, 99, images=200)])])
    assert set(accuracy_points(rows)["top1"]) == {80.0, 79.9, 79.0}


def test_models_never_exported_stand_hollow_at_their_published_gmacs() -> None:
    unknown = {"compute_gmacs": None, "size_mb": None}
    rows = pd.DataFrame(
        [
            point("fp32", 70.0, 1, model_id="timm/a"),
            point("fp32", 80.26, 1, model_id="timm/seresnet50", **unknown),
            point("fp32", 75.0, 1, model_id="timm/unheard_of", **unknown),
        ]
    )
    known = with_estimates(rows)
    assert known["estimated"].tolist() == [False, True, False]
    figure = accuracy_against_compute(known, None, LIGHT, "val")
    drawn = trace(figure, "fp32")
    assert list(drawn.x) == pytest.approx([4.0, 9.192 * 0.9 / 2])
    assert drawn.marker.symbol == ("circle", "circle-open-dot")
    assert "4.00 GMACs · 100.0 MB" in drawn.customdata[0][0]
    assert "~4.14 GMACs (from published FLOPs)" in drawn.customdata[1][0]
    assert "~" in figure.layout.xaxis.title.text


def test_no_line_of_a_hover_card_is_wider_than_a_chart_on_a_phone() -> None:
    long = "other processes used 1.03 cores (python 1.02, a long name 0.18, another one 0.13)"
    told = card(["a &lt;b&gt;", long])
    assert max(map(len, told.split("<br>"))) <= CARD_WIDTH
    assert told.replace("<br>", " ") == f"a &lt;b&gt; {long}"


def test_the_buttons_of_a_chart_stand_clear_of_its_legend() -> None:
    figure = layout(go.Figure(), LIGHT)
    assert figure.layout.modebar.orientation == "v"
    assert figure.layout.modebar.bgcolor == "rgba(0,0,0,0)"


def test_a_name_keeps_clear_of_the_pareto_front() -> None:
    points = pd.DataFrame([point("fp32", 80.1, 10.0), point("fp16", 80.0, 20.0)])
    points = points.assign(label="a")
    figure = accuracy_against_throughput(points, LIGHT, "val", "batch 1")
    (name,) = [note for note in figure.layout.annotations if note.text == "a"]
    assert (name.xanchor, name.yanchor) != ("left", "middle"), "there the Pareto front continues"

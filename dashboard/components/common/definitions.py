"""Every figure the workbench shows, defined."""

from __future__ import annotations

from engine.benchmark.scenarios.definitions import DEFINITIONS as SCENARIOS
from engine.catalog.flops_conventions import explanations
from engine.results.columns import COLUMNS


def _of(*columns: str) -> dict[str, str]:
    """Columns of the results table as they are explained there."""
    return {COLUMNS[name].title: COLUMNS[name].help for name in columns}


DEFINITIONS = {
    **_of("top1", "top5"),
    "95 % interval": "Wilson score interval of a share. 1,000 images give about ±2.5 points.",
    "change of top-1": "Second precision minus first on the same images, with Tango's score "
    "interval of the paired difference; p is McNemar's exact test.",
    "collapsed": "As right as guessing would be (exact binomial test, p > 0.001): the build is "
    "useless, and is left out of the frontier.",
    **_of("images_per_s"),
    "unstable": "The windows did not agree before the time was up; the figure is a rough one.",
    "noisy": "Something disturbed the measurement, and is named: other processes used more than a "
    "quarter of a core, or the clock moved by more than 10 %. Looked at every half second.",
    **SCENARIOS,
    "sweet spot": "Of all settings measured (batch, requests in flight, threads): the most "
    "images/s with the chosen latency within the limit. The frontier holds what nothing else beats "
    "in both.",
    "nodes by provider": "How many nodes of the graph each execution provider was given by the "
    "runtime. A provider that was asked for and got none is refused: that would be the CPU under "
    "another name.",
    **_of(
        "latency_p50_ms",
        "latency_p99_ms",
        "load_ms",
        "first_inference_ms",
        "peak_rss_mb",
        "compute_gmacs",
        "achieved_gmacs_per_s",
        "peak_share",
    ),
    "profile": "Time of each node of the graph that ran, by ONNX Runtime's own profiler, as means "
    "over several runs. SE blocks: from the squeeze to the multiplication with its gate. "
    "Conversions (Quantize, Dequantize, Cast, Reorder) were inserted: no part of the network.",
    **_of("size_mb"),
    "fp16 on a CPU": "Emulated where the processor has no native fp16: correct and half the size, "
    "not faster. There ONNX Runtime computes in float32, so that the accuracy measured is that of "
    "rounded weights; how a build fares with every value rounded stands in its details.",
    "fp16, kept in float": "Nodes that read, make or add up more than half of what fp16 holds "
    "(65,504) on the images checked, or whose weights do not fit it.",
    **_of("target"),
    "drop expected by margins": "Of a bounded int8 build: what rounding is expected to cost, by "
    "how far it moves the score of the right class against the best other one, over all images. "
    "Known from fewer of them than a count of those that turn wrong; it chooses a build where a "
    "count cannot, and never counts as shown.",
    **_of("seen_images", "weights_kind"),
    "published": "As the authors published it, on ImageNet-1k. GMACs of timm rows are the "
    "published FLOPs × 0.9 / 2 (within 1.6 %, BatchNorm included), of the others ÷ 2 (four grouped "
    "PaddleClas rows 4 to 6 % too low).",
    "published FLOPs": " ".join(explanations()),
}

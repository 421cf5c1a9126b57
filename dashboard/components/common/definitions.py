"""Definitions of the figures on the pages."""

from __future__ import annotations

from engine.benchmark.scenarios.definitions import DEFINITIONS as SCENARIOS
from engine.catalog.flops_conventions import explanations
from engine.results.columns import COLUMNS


def _of(*columns: str) -> dict[str, str]:
    """Definitions of columns of the results table, by title."""
    return {COLUMNS[name].title: COLUMNS[name].help for name in columns}


DEFINITIONS = {
    **_of("top1", "top5"),
    "95 % interval": "Wilson score interval of a proportion: about ±2.5 pp for 1,000 images.",
    "accuracy change": "Top-1 of the second precision minus top-1 of the first, on the same "
    "images, with Tango's score interval of the paired difference. p: McNemar's exact test.",
    "collapsed": "The accuracy does not differ from guessing (exact binomial test, p > 0.001). "
    "The build is excluded from the Pareto front.",
    **_of("images_per_s"),
    "measuring session": "All builds of a request are measured in turn, in rounds of a random "
    "order, until the 95 % interval of each speed-up is within ± 3 % or the time is up. A machine "
    "that changes its speed then does so for all builds. Intervals of images/s and of latencies "
    "are taken between the rounds (block bootstrap).",
    "speed-up": "Ratio of images/s, paired by round where both builds were measured in one session "
    "(signed-rank estimate and interval). Across sessions the interval also holds how much the "
    "machine's own speed varies, which a short matrix product between the windows tells.",
    "unstable": "The 95 % interval of images/s is wider than ± 5 % at the end of the max duration, "
    "so the result is not precise. The speed-ups of the session can be precise all the same.",
    "interference": "Other processes used more than a quarter of a core, or the CPU clock changed "
    "by more than 10 %. Checked every half second; the cause is named.",
    **SCENARIOS,
    "best operating point": "The combination of batch size, concurrency and threads with the most "
    "images/s within the latency limit. The Pareto front holds the combinations that are not "
    "dominated in both.",
    "nodes by provider": "Number of graph nodes that the runtime assigned to each execution "
    "provider. A run in which the requested provider got no node is refused, because it would "
    "measure the CPU.",
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
    "profile": "Mean time of each executed graph node over several runs, by ONNX Runtime's "
    "profiler. SE blocks: from the squeeze to the multiplication by the gate. Conversions "
    "(Quantize, Dequantize, Cast, Reorder) are inserted by the build or the runtime; they are not "
    "part of the network.",
    **_of("size_mb"),
    "fp16 on a CPU": "Emulated where the processor has no native fp16: correct and half the size, "
    "but not faster. ONNX Runtime then computes in float32, so the measured accuracy is that of "
    "rounded weights. The details of a build show the accuracy with every value rounded to fp16.",
    "fp16, layers kept in fp32": "Nodes with inputs, outputs or sums above half of the fp16 "
    "maximum (65,504) on the checked images, or with weights outside the fp16 range.",
    **_of("target"),
    "expected accuracy drop": "For an int8 build with an accuracy constraint: the drop expected "
    "from the change of the margin between the score of the correct class and the best other "
    "score, over all images. It needs fewer images than counting wrong predictions. It selects a "
    "build where counts cannot; it is not a measured accuracy.",
    **_of("seen_images", "weights_kind"),
    "published": "As published by the authors, on ImageNet-1k. GMACs are estimated from published "
    "FLOPs: × 0.9 / 2 for timm (within 1.6 %, with BatchNorm), / 2 for the others (four PaddleClas "
    "models with grouped convolutions are 4 to 6 % too low).",
    "published FLOPs": " ".join(explanations()),
}

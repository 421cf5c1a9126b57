"""Every figure the workbench shows, defined."""

from __future__ import annotations

from engine.benchmark.scenarios.definitions import DEFINITIONS as SCENARIOS
from engine.catalog.flops_conventions import explanations

DEFINITIONS = {
    "top-1, top-5": "Share of images whose true class has the highest score, or is among the five "
    "highest. Scored by class index, never by name; every readable image counts.",
    "95 % interval": "Wilson score interval of a share. 1,000 images give about ±2.5 points.",
    "change of top-1": "Second precision minus first on the same images, with Tango's score "
    "interval of the paired difference; p is McNemar's exact test.",
    "collapsed": "As right as guessing would be (exact binomial test, p > 0.001): the build is "
    "useless, and is left out of the frontier.",
    "images/s": "Images done per second over the last three windows that agree within the "
    "tolerance, alone on the machine; the interval is the range of those windows.",
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
    "p50, p90, p95, p99": "Percentiles of the wall time of one request of `batch` images "
    "(numpy's linear method). p99 is withheld under 100 requests.",
    "load, first inference": "Time to open the model; time of the first request after that.",
    "peak memory": "The largest resident size of the benchmark's process (RSS).",
    "GMACs": "Multiply-accumulates of one image, counted from the ONNX graph. 1 GMAC = 2 GFLOPs.",
    "GMAC/s": "GMACs of one image times images/s: what was achieved, not what the machine can do.",
    "share of the peak": "GMAC/s against the most that this machine does in the same precision "
    "with as many threads: the best of several matrix products and convolutions in ONNX Runtime, "
    "measured once. Emulated fp16 is held against fp32; layers of an int8 build left in float "
    "count against int8. A build faster than every product raises the peak, so no share exceeds "
    "100 %.",
    "profile": "Time of each node of the graph that ran, by ONNX Runtime's own profiler, as means "
    "over several runs. SE blocks: from the squeeze to the multiplication with its gate. "
    "Conversions (Quantize, Dequantize, Cast, Reorder) were inserted: no part of the network.",
    "size": "Bytes of the model file, in MB (10⁶).",
    "fp16 on a CPU": "Emulated where the processor has no native fp16: correct and half the size, "
    "not faster. There ONNX Runtime computes in float32, so that the accuracy measured is that of "
    "rounded weights; how a build fares with every value rounded stands in its details.",
    "fp16, kept in float": "Nodes that read, make or add up more than half of what fp16 holds "
    "(65,504) on the images checked, or whose weights do not fit it.",
    "int8 target": "The kernels that an int8 build is made for: u8 x s8 are unsigned activations "
    "and signed weights (x86), s8 x s8 signed both (Arm, TensorRT).",
    "drop expected by margins": "Of a bounded int8 build: what rounding is expected to cost, by "
    "how far it moves the score of the right class against the best other one, over all images. "
    "Known from fewer of them than a count of those that turn wrong; it chooses a build where a "
    "count cannot, and never counts as shown.",
    "images also calibrated on": "Images of the evaluation that an int8 build took its ranges "
    "from, or that its search for a bounded drop was judged on; told by their bytes. Accuracy on "
    "them may be flattering: the details give that on the others.",
    "random weights": "Fit to measure speed, never accuracy: not shown on any accuracy chart.",
    "published": "As the authors published it, on ImageNet-1k. GMACs of timm rows are the "
    "published FLOPs × 0.9 / 2 (within 1.6 %, BatchNorm included), of the others ÷ 2 (four grouped "
    "PaddleClas rows 4 to 6 % too low).",
    "published FLOPs": " ".join(explanations()),
}

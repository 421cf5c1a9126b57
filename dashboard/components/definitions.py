"""Every figure the workbench shows, defined."""

from __future__ import annotations

from engine.conventions import explanations

DEFINITIONS = {
    "top-1, top-5": "Share of images whose true class has the highest score, or is among the five "
    "highest. Scored by class index, never by name; every readable image counts.",
    "95 % interval": "Wilson score interval of a share. 1,000 images give about ±2.5 points.",
    "change of top-1": "Second precision minus first on the same images, with the interval from "
    "the images on which they differ; p is McNemar's exact test.",
    "collapsed": "As right as guessing would be (exact binomial test, p > 0.001): the build is "
    "useless, and is left out of the frontier.",
    "images/s": "Images done per second over the last three windows that agree within the "
    "tolerance, alone on the machine; the interval is the range of those windows.",
    "unstable": "The windows did not agree before the time was up; the figure is a rough one.",
    "busy machine": "More than a quarter of a core did other work while the speed was measured.",
    "p50, p90, p95, p99": "Percentiles of the wall time of one request of `batch` images "
    "(numpy's linear method). p99 is withheld under 100 requests.",
    "load, first inference": "Time to open the model; time of the first request after that.",
    "peak memory": "The largest resident size of the benchmark's process (RSS).",
    "GMACs": "Multiply-accumulates of one image, counted from the ONNX graph. 1 GMAC = 2 GFLOPs.",
    "GMAC/s": "GMACs of one image times images/s: what was achieved, not what the machine can do.",
    "size": "Bytes of the model file, in MB (10⁶).",
    "fp16 on a CPU": "Emulated where the processor has no native fp16: correct and half the size, "
    "not faster.",
    "random weights": "Fit to measure speed, never accuracy: not shown on any accuracy chart.",
    "published": "As the authors published it, on ImageNet-1k. GMACs of timm rows are the "
    "published FLOPs × 0.9 / 2 (within 1.6 %, BatchNorm included), of the others ÷ 2 (four grouped "
    "PaddleClas rows 4 to 6 % too low).",
    "published FLOPs": " ".join(explanations()),
}

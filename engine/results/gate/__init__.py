"""The gate of a pipeline: whether a candidate build may replace a baseline.

`resolve` reads both sides, `check` decides, `junit` and `markdown` write it down.
"""

from engine.results.gate.checks import Check, Decision, check
from engine.results.gate.per_image_text import with_per_image
from engine.results.gate.reports import decision_document, junit, markdown
from engine.results.gate.sides import Pair, Side, resolve

__all__ = [
    "Check",
    "Decision",
    "Pair",
    "Side",
    "check",
    "decision_document",
    "junit",
    "markdown",
    "resolve",
    "with_per_image",
]

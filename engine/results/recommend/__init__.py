"""The recommended build under the constraints of a deployment: its state, its evidence, its text.

`recommend` gives one of three states, or none where no build meets the constraints. Pages, the
report and the commands `recommend` and `gate` use it.
"""

from engine.results.recommend.candidates import (
    candidates,
    comparable_points,
    only_real_or_only_demo,
    with_accuracy_drops,
)
from engine.results.recommend.constraints import Constraints, Goal, Limit, State, limits_of
from engine.results.recommend.decision import Recommendation, recommend
from engine.results.recommend.document import recommendation_document
from engine.results.recommend.evidence import Evidence, stored_evidence
from engine.results.recommend.text import (
    RecommendationText,
    build_text,
    caveats,
    most_accurate_text,
    recommendation_text,
)

__all__ = [
    "Constraints",
    "Evidence",
    "Goal",
    "Limit",
    "Recommendation",
    "RecommendationText",
    "State",
    "build_text",
    "candidates",
    "caveats",
    "comparable_points",
    "limits_of",
    "most_accurate_text",
    "only_real_or_only_demo",
    "recommend",
    "recommendation_document",
    "recommendation_text",
    "stored_evidence",
    "with_accuracy_drops",
]

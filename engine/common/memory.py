"""What a process has used of its machine."""

from __future__ import annotations

import resource
import sys


def peak_rss_mb() -> float:
    """The most memory that this process, or one of its ended children, ever held, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in whose) * unit / 1e6

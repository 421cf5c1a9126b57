"""Speed of one artifact, measured in a process that does nothing else.

Latency is the wall time of one request of `batch` images, with `instances` requests in flight
in each of `processes` processes.
"""

from engine.benchmark.job import run

__all__ = ["run"]

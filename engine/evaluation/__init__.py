"""Accuracy of one artifact on one dataset: exact, resumable, with every image's result kept.

The images are done in shards that begin at multiples of the batch, so each image meets the same
batch whoever computes it. A shard is one file, renamed when whole; whatever is missing is
computed, then the shards are joined and every figure is taken from the ordered arrays.
"""

from engine.evaluation.job import run, run_shard

__all__ = ["run", "run_shard"]

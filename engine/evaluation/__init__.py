"""Accuracy of one artifact on one dataset: exact, resumable, with the result of every image stored.

The images are evaluated in shards that start at multiples of the batch size, so that the batches
do not depend on the process that computes them. A shard is one file, renamed into place when it is
complete; missing shards are computed, then all are joined, and every metric is computed from the
ordered arrays.
"""

"""What this machine can do at most, measured once in the runtime that runs the models.

A benchmark's GMAC/s are held against the peak of its own precision and of as many threads.
"""

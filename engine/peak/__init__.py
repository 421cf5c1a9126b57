"""Peak compute throughput of a machine, measured once in the runtime that runs the models.

The GMAC/s of a benchmark are compared with the peak of the same precision and thread count.
"""

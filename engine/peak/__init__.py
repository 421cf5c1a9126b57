"""Peak compute throughput of a machine, measured once in each runtime.

The GMAC/s of a benchmark are compared with the peak of the same precision and thread count.
"""

"""Benchmarks of the workbench itself; run by hand, not by the tests."""

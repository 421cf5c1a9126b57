"""Measurements of the workbench itself; run by hand, never by the tests."""

"""Runtimes that execute artifacts: one module per runtime, all with the same interface."""

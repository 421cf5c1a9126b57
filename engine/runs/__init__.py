"""Runs: requests, their validation and plan, and their compilation to jobs."""

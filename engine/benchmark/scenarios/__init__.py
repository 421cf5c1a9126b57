"""Benchmark scenarios, after MLPerf Inference."""

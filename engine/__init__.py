"""Everything that computes: exports, builds, benchmarks, evaluations, and their jobs."""

"""Everything that computes: exports, builds, benchmarks, evaluations, and their jobs."""

__version__ = "0.1.0"
"""Version of the whole package; pyproject.toml takes it from here."""

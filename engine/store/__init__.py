"""Artifacts, their manifests, and the database of a home."""

"""Builds: one precision of an export."""

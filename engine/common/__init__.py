"""Shared by all packages: files, digests, text, statistics, environment."""

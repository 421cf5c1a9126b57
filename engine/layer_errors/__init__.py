"""Errors of each layer of an int8 build: as the file says, and as each runtime computes it."""

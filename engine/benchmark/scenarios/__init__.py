"""The scenarios of a benchmark."""

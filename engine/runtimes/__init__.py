"""What executes an artifact: one file a runtime, each with the same methods."""

"""Parts of the form of a run."""

"""Components of the form of New run."""

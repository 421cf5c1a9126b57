"""Half precision: what does not fit it stays in float, and the build says so."""

"""Which layers stay in float: sensitivity analysis and layer selection."""

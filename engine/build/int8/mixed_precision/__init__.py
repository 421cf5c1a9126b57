"""Mixed precision: sensitivity analysis, and selection of the layers that stay in float."""

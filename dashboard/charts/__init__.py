"""Charts: pure functions from a table to a plotly figure. Nothing here reads or caches."""

"""Charts: pure functions from a table to a plotly figure, without database access or cache."""

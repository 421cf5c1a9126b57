"""Details of one artifact or result."""

"""Components of the page Classify."""

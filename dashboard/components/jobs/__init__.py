"""Components of the page Jobs."""

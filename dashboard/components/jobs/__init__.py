"""Parts of the page Jobs."""

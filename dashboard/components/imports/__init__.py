"""Components of the page Import."""

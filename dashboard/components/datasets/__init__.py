"""Components of the page Datasets."""

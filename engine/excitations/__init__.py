"""What SE blocks do to an image, and on average over a dataset."""

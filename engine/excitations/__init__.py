"""SE excitations: the channel weights of SE blocks for an image, and their mean over a dataset."""

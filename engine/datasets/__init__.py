"""Folders of images with labels: recognised, checked, indexed, drawn from, read."""

"""Folders of images with labels: recognized, checked, indexed, drawn from, read."""

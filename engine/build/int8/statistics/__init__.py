"""Activation statistics over the calibration images: observers, histograms, ranges, cache."""

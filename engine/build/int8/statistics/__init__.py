"""Statistics of activations over the calibration images."""

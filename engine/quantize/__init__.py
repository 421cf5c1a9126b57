"""int8: rewrites that let a graph stay quantised, calibration, and the static QDQ build."""

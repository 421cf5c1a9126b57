"""The dashboard: it inserts rows and reads rows; everything that computes is in `engine`."""

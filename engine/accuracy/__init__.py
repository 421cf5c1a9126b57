"""What per-image results say: figures of one evaluation, differences of two, other label sets."""

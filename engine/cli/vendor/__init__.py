"""The commands of the vendor's tool chain."""

"""Reads and writes the files of the vendor's tool chain: build files, vdsp parameters, npz."""

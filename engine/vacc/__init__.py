"""The files of the vendor's tool chain (vamc, vamp, npz): read and written as they are."""

"""Imports results of other machines and tools into the results table, marked as imported."""

"""Results of other machines and tools, brought into the same table and marked as imported."""

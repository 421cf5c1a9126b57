"""fp16 builds."""

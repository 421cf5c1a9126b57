"""The catalog of models, and the conventions of published FLOPs."""

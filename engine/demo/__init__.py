"""The built-in demo: synthetic images of sixteen shapes, and a small SE network trained on them."""

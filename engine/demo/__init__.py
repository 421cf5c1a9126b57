"""The built-in demo: sixteen classes of drawn shapes and a small SE network trained on them."""

"""Cross-layer channel equalization: channel groups, choice of scales, and applying them."""

"""Checkpoints of timm, mmcls and PaddleClas, read into their networks."""

"""Reads checkpoints of timm, mmcls and PaddleClas and loads them into their models."""

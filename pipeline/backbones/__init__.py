"""Pretrained backbones, the bundled one among them, and networks with a new head on one."""

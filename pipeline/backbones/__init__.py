"""Pretrained backbones, the networks made of them, and how they are fine-tuned."""

import pipeline.training  # noqa: F401  (the quiet first import of Keras)

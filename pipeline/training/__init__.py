"""Fitting, searching and predicting with Keras, and the trained-model folder."""

import pipeline.networks  # noqa: F401  (the quiet first import of Keras)

"""Networks that start from random weights: their parts, their precision, and how they are fitted."""

import pipeline.training  # noqa: F401  (the quiet first import of Keras)

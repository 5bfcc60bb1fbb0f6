"""From an encoded image to a prediction, the same in training, serving and every export. No TensorFlow."""

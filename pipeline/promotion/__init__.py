"""Whether a challenger becomes champion. No TensorFlow."""

"""How good predictions are: scores, calibration, intervals, paired tests, references. No TensorFlow."""

"""The search for hyperparameters with keras-tuner."""

"""The search over hyperparameters."""

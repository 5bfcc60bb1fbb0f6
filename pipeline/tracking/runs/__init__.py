"""The runs that MLflow knows, read back."""

"""What stages record, and its way to MLflow."""

"""What people read about a run: figures, text and the HTML page. No TensorFlow, no mlflow."""

"""The images."""

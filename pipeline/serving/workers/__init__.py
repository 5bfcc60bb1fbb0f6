"""The processes that decode and predict, and what the server knows of them. Imports no web framework."""

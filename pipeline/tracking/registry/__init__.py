"""Registered models: versions, aliases, decisions, files."""

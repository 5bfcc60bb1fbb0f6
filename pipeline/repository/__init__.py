"""The project's git repository, and what DVC keeps in it."""

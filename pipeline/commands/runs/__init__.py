"""Commands that read what has been recorded."""

"""Commands that use one model or two."""

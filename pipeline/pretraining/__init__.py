"""How the bundled backbone was made."""

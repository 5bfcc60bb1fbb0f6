"""What `python -m pipeline <command>` does: each module is one command or a few that belong together."""

"""Processes of ours: started, read, and kept quiet."""

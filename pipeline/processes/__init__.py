"""Processes of ours: started, read, kept quiet, and taken up again after a kill."""

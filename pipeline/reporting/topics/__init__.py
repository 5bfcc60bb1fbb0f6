"""What the report says, a folder or file for each topic: its section, its sentences and its figures."""

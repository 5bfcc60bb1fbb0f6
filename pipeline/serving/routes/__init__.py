"""What can be asked for, an address each, with the answers it gets."""

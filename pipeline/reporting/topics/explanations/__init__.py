"""What the networks look at."""

"""Settings times seeds: the file that asks, the results, what they decide, and the page about them."""

"""How the networks learned."""

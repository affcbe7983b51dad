"""How the engine really runs containers: one contract, and the ways that keep it."""

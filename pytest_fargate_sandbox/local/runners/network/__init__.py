"""A task's network as both runners have it: its address, its ports, its gate."""

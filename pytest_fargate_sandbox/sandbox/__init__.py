"""A machine (one task's life) and the workspaces on it: how it starts, how it is reached, and what is done there."""

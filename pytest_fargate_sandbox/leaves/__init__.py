"""Errors, configuration and small values. Nothing here imports anything of ours but its own neighbours."""

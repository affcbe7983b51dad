"""Trees with all that is known of them, out of a workspace and into another."""

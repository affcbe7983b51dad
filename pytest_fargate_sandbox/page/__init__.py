"""A run to look at: one page, made of what was written down while it ran."""

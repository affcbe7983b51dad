"""A container made as new: what its commands left running ends, and what they added goes."""

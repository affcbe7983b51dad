"""SSH: the tunnel, its connection, its streams and its keys."""

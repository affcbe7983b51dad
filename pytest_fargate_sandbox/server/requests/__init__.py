"""How requests come in: HTTP/1.1, connections, exchanges, and the verbs."""

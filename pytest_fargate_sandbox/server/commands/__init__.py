"""How commands run: processes, their output, their end."""

"""The client of the exec server: connections, calls, commands and processes."""

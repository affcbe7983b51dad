"""The sandbox itself: its contract, its launch, its connection, and the client of the server inside."""

"""The engine's Session Manager: its API, its gateway of data channels, and the agents that it reaches in containers."""

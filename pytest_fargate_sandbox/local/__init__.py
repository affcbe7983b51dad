"""The embedded Fargate: a program of its own that nobody imports."""

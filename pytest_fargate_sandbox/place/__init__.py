"""Where tasks run: an account's cluster or the local engine, found or started, and whose they are."""

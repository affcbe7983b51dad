"""Benchmark tasks in folders: reading them, trying them, and verdicts that nobody in a sandbox can forge."""

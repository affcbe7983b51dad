"""Sandboxes for other harnesses than pytest. Each module is imported by its harness, and takes its extra."""

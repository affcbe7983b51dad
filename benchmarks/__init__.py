"""Figures against floors that are taken in the same run. ``python -m benchmarks [sandbox] [pytest_face] [images]``."""

"""Measurements of speed and memory, outside the tests: `python -m benchmarks [NAME ...]`."""

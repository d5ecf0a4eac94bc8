"""Benchmarks: CPU per request beside a bare server in the same run. Nothing here asserts a time."""

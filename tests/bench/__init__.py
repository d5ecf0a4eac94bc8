"""Benchmarks: what a request costs, beside a bare server and LiteLLM. Nothing asserts a time."""

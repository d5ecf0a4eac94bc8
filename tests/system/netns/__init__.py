"""The proof that no audio crosses the service: several hosts on one machine, and their packet counters."""

"""A Redis-compatible server that this process starts: its program, its process, and its end with ours.

For ``cloakroom dev``, ``memory://`` and tests. How to talk to a store belongs one level up.
"""

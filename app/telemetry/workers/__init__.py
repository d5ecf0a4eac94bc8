"""The metrics of a replica's workers as one target: each tells its own, and the one asked merges them.

prometheus-client has files in shared memory for this. They hold no exemplars and nothing that is read at a
scrape, and each count would cost a write to such a file. How workers reach each other belongs elsewhere.
"""

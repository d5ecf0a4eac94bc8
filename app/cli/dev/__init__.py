"""``cloakroom dev``: replicas, a store and a provider on one machine, as child processes.

The provider in a box is a separate program (``app.sandbox``); a single replica is ``app.cli.serve``.
"""

"""The command line: one module a command, and the ways to reach a service or a store.

A command asks, shows and exits. What it shows is decided in ``app.broker.desk`` or ``app.doctor``.
"""

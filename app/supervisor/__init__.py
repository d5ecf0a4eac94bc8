"""Several worker processes on one port, and the supervisor that starts, replaces and ends them.

A worker is a replica that shares its port. What it serves belongs elsewhere: nothing here knows a request.
"""

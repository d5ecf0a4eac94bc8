"""What happens to a request before the gate sees it: its connection, and whether it is served at all.

A header of an answer does not belong here, nor what needs a parsed request.
"""

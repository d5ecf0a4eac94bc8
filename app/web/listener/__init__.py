"""What happens to a request before the gate sees it: its connection, and whether there is time for it.

A header of an answer does not belong here, nor anything that must know what a request asks for.
"""

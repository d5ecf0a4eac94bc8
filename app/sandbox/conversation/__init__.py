"""What the partner says and does on the data channel: events in, events out. No I/O.

How the sound travels belongs in ``peer``.
"""

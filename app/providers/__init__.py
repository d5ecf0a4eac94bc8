"""What each provider speaks: requests built and answers read, as plain functions on plain values.

Pure: no socket, no clock, no store. Sending belongs in ``app.outbound``, choosing one in ``app.broker``.
"""

"""The providers' dialects: they build requests and read answers, as plain functions on plain values.

Pure: no socket, no clock, no store. Sending belongs in ``app.outbound``, choosing one in ``app.broker``.
"""

"""What operators read of a running replica: logs, metrics, traces, timings, and the masking of secrets.

It records what happened and decides nothing. What an operator can do belongs in ``app.broker.desk``.
"""

"""What operators read of a running replica: logs, metrics, traces, timings, and the masking of secrets.

It is told what happened and never decides anything. What an operator may do belongs in ``app.broker.desk``.
"""

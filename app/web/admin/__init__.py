"""The admin API: what an operator's key can see and do over HTTP.

Views, guard and query parsing. The rules are in ``app.broker.desk``; the public surface is one level up.
"""

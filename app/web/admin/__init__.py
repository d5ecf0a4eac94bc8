"""The admin API: what an operator's key can see and do over HTTP.

What is shown and done stands in ``app.broker.desk``; the public surface stands one level up.
"""

"""Security events: what is done when a handle seems to be stolen, or when a record in the store was changed.

How such a thing is noticed belongs to the use case that notices it, in ``app.broker``; how a message is
signed and sent, in ``app.outbound.webhook``.
"""

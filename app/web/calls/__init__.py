"""Calls on the wire: the offers, reports and sidebands that come in, and the views that take them.

The order of the steps belongs in ``app.broker``; a handle's mint in ``app.web.mint_views``.
"""

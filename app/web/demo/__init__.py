"""The demo page, and ``cloakroom.js``, which pages of others copy.

Static files and the little that serves them. No rule of the service lives here.
"""

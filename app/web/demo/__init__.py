"""The demo page, and ``cloakroom.js``, which other pages copy.

Static files and the code that serves them. Rules of the service do not belong here.
"""

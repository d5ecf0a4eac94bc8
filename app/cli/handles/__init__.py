"""``cloakroom handles``: list, show, revoke, watch; a module has a command with its rows and its text.

How a service is reached, and what calls share with handles, does not belong here.
"""

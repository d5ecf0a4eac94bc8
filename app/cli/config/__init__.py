"""``cloakroom config``: show the settings in force, and check another program's file before moving over.

What a setting means, and how a file is read, does not belong here.
"""

"""The settings that every service has, one module for each group. ``app.settings.model`` puts them together.

Fields with their bounds, and checks of one field. A rule over several is in ``app.settings.checks``.
"""

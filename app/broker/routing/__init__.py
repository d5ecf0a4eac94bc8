"""Which deployment gets a mint: the models and their deployments, breakers, tries in order, models that end.

What a request to a deployment looks like belongs in ``app.providers``.
"""

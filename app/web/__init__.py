"""The HTTP surface: routes, views, the gate every request passes, and how errors and answers look.

Views translate between HTTP and the use cases. A rule that holds without HTTP belongs in ``app.broker``.
"""

"""The paths of the provider: OpenAI's and Azure's, as strict as they are.

What happens in a call after its answer belongs in ``conversation`` and ``peer``.
"""

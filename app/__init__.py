"""Cloakroom: an ephemeral-key broker and SDP relay for realtime voice."""

from importlib.metadata import version

__version__ = version("cloakroom")

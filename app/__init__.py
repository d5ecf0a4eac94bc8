"""Cloakroom: an ephemeral-key broker and SDP relay for realtime voice."""

from importlib.metadata import version
from typing import Final

# The import name: ``app`` in the repository, ``cloakroom`` in the wheel (hatch_build.py).
PACKAGE: Final = __name__
__version__ = version("cloakroom")

"""The provider in a box: OpenAI's and Azure OpenAI's realtime contracts, strictly, with a real WebRTC peer.

For development and tests. It imports nothing of the service, and nothing of the service imports it.
`README.md` beside this file says how to start it and how to make it fail.
"""

from .config import SandboxConfig
from .server import create_sandbox

__all__ = ["SandboxConfig", "create_sandbox"]

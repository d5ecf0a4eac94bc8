"""The way out of a test: everything that it reaches is on this machine."""

from __future__ import annotations

from typing import Final

from app.outbound.addresses import LOOPBACK, Guard
from app.outbound.egress import Egress

ON_LOOPBACK: Final = Guard(LOOPBACK)
HERE: Final = Egress(guard=ON_LOOPBACK)

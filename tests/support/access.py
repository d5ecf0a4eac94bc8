"""The user that the service gets in every test: what ``app.store.acl`` grants, and nothing else.

The default user stays with the tests, which look into the store and break it.
"""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import quote

from app.store.acl import tokens
from app.store.embedded.engine import HOST, LocalEngine

USER: Final = "cloakroom"


def user_arguments(password: str, *, cluster: bool = False) -> tuple[str, ...]:
    """Options of a server that has the user from its start, and after each restart."""
    # Its hash, since a command line is for everybody to read.
    digest = hashlib.sha256(password.encode()).hexdigest()
    return ("--user", USER, "on", f"#{digest}", *tokens(cluster=cluster))


def url_for_service(engine: LocalEngine, password: str, *, scheme: str = "redis", database: int = 0) -> str:
    """The address that a replica gets."""
    path = f"/{database}" if scheme == "redis" else ""
    return f"{scheme}://{USER}:{quote(password, safe='')}@{HOST}:{engine.port}{path}"

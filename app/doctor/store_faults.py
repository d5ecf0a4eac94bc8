"""What mends a store that cannot be used, by the kind of its trouble. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from app.store.acl import rule
from app.store.faults import StoreFault, Trouble
from app.store.keys import PREFIX, events

URL: Final = "CLOAKROOM_REDIS_URL"
_COMMAND: Final = re.compile(r"the '([a-z|_-]{2,40})' command")
_FIXES: Final[Mapping[Trouble, str]] = {
    "name": f"check the host in {URL}, and this machine's name resolution",
    "refused": f"start the server, or check host and port in {URL}",
    "timeout": f"check that the server is not hung (redis-cli PING) and that no firewall drops {URL}'s port",
    "tls": f"check {URL}: rediss:// where the server speaks TLS, and ?ca=FILE with the CA that it uses",
    "auth": f"write user and password into {URL}, percent-encoded: redis://user:password@host",
    "topology": f"choose the scheme in {URL} by what stands there: redis:// redis+sentinel:// redis+cluster://",
    "readonly": f"name the primary in {URL}, or redis+sentinel://",
    "full": "redis-cli CONFIG SET maxmemory, or a larger server",
    "database": f"leave the database number out of {URL}",
    "other": f"look at the server's log, and check {URL}",
}


def fix_for(fault: StoreFault, *, user: str = "the user") -> str:
    """One sentence that names the setting or the command."""
    if fault.trouble != "permission":
        return _FIXES[fault.trouble]
    found = _COMMAND.search(fault.text)
    if found:
        return f"redis-cli ACL SETUSER {user} +{found[1]}"
    if "channel" in fault.text:
        return f"redis-cli ACL SETUSER {user} '&{events()}'"
    # Of a script's commands some servers do not say which one it was.
    grant = rule() if "command" in fault.text else f"'~{PREFIX}:*'"
    return f"redis-cli ACL SETUSER {user} {grant}"

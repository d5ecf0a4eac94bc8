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
_KEY: Final = re.compile(r"access (a key|(at least )?one of the keys)")
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


def fix_for(fault: StoreFault, *, user: str = "the user", cluster: bool = False) -> str:
    """One sentence that names the setting or the command.

    Args:
        user: whose rights are to be mended.
        cluster: whether the store is a Cluster, where the service's rule has more in it.
    """
    if fault.trouble != "permission":
        return _FIXES[fault.trouble]
    return f"redis-cli ACL SETUSER {user} {_grant(fault.text, cluster=cluster)}"


def _grant(refusal: str, *, cluster: bool) -> str:
    """What to add to the user's rights, whatever the server's words.

    A script ends at its first refusal, and before Redis 7.2 the server does not name the command. So what a
    script was refused is mended by the whole rule, which has the commands that the script wants next.
    """
    found = _COMMAND.search(refusal)
    if found and "script" not in refusal:
        return f"+{found[1]}"
    if "channel" in refusal:
        return f"'&{events()}'"
    if _KEY.search(refusal):
        return f"'~{PREFIX}:*'"
    if "access database" in refusal:
        return "alldbs"  # Valkey 9.1 and later
    return rule(cluster=cluster)

"""Every Redis key that the service uses, and the version of the records under them.

Tests import these; no other module spells a key. ``docs/redis.md`` says when the version changes.

The braces are Redis Cluster's hash tag: all keys of one handle lie in one slot, so one script may touch them.
The index lists have none: the minutes of a list spread over the slots, so that no client and no model makes
one node of a Cluster hot.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Final

PREFIX: Final = "cloakroom"
_OFFER_DIGITS: Final = 32  # half of a SHA-256 in hexadecimal: 128 bits
# A list for each subject would cost more memory than its handle. So subjects share 256 lists a minute, and a
# lookup skips the handles of other subjects.
_SUBJECT_DIGITS: Final = 2

MINUTE_SECONDS: Final = 60

# The deadlines of calls are spread over so many sorted sets, which lie on different nodes of a Cluster.
ALL_DEADLINES: Final = tuple(f"{PREFIX}:deadlines:{{{number}}}" for number in range(8))

# The usage records of all calls, a stream. What makes them exact lies in its slot of a Cluster, see ``sums``.
USAGE: Final = f"{PREFIX}:usage"

# The version that this release writes, and the last one that it reads.
RECORD_VERSION: Final = 1
# The release 0.1.0 wrote records without the field.
_WITHOUT_FIELD: Final = 1


def handle(handle_id: str) -> str:
    """Hash: the handle's record."""
    return f"{PREFIX}:handle:{{{handle_id}}}"


def claim(handle_id: str, offer_sha256: str) -> str:
    """String: how far the relay of this offer with this handle has got; see ``scripts/claim.lua``."""
    return f"{PREFIX}:claim:{{{handle_id}}}:{offer_sha256[:_OFFER_DIGITS]}"


def uses(handle_id: str) -> str:
    """Hash: what a handle's record must not fall behind, its ``calls`` and ``revoked_at``."""
    return f"{PREFIX}:uses:{{{handle_id}}}"


def offer_digits(handle_id: str, offer_sha256: str) -> str:
    """What stands for one offer with one handle among the calls of a client."""
    return f"{handle_id}.{offer_sha256[:_OFFER_DIGITS]}"


def call(call_id: str) -> str:
    """Hash: a call that was relayed."""
    return f"{PREFIX}:call:{{{call_id}}}"


def deadlines(call_id: str) -> str:
    """Sorted set: when calls are to be hung up, for those whose id falls into the same slice as this one."""
    return ALL_DEADLINES[zlib.crc32(call_id.encode()) % len(ALL_DEADLINES)]


def watches() -> str:
    """Sorted set: the calls that are metered, by the time until which a replica holds their watch."""
    return f"{PREFIX}:watches:{{{USAGE}}}"


def sums(call_id: str) -> str:
    """Hash: what a metered call has used so far; see ``scripts/watch.lua``."""
    return f"{PREFIX}:sums:{{{USAGE}}}:{call_id}"


def notices() -> str:
    """Sorted set: sealed messages that wait for the webhook of security events, by when each is due."""
    return f"{PREFIX}:notices:{{security}}"


def mint_limit(client: str, minute: int, subject: str = "") -> str:
    """Counter: mints of one client, or its subject, in one minute (epoch seconds divided by 60)."""
    return f"{PREFIX}:limit:{{{client}}}:{minute}" + (f":{subject}" if subject else "")


def open_calls(client: str, subject: str = "") -> str:
    """Sorted set: the offers whose calls a client, or its subject, has open, by the latest end of each."""
    return f"{PREFIX}:open:{{{client}}}" + (f":{subject}" if subject else "")


def seats(client: str) -> str:
    """Hash: what each of these calls was given; see ``scripts/seat.lua``."""
    return f"{PREFIX}:seats:{{{client}}}"


def call_seconds(client: str, day: int, subject: str = "") -> str:
    """Counter: seconds of calls of a client, or its subject, on one day (epoch seconds by 86,400)."""
    return f"{PREFIX}:seconds:{{{client}}}:{day}" + (f":{subject}" if subject else "")


def live_handles(client: str) -> str:
    """Sorted set: a client's handles, by when each expires, where their number is limited."""
    return f"{PREFIX}:live:{{{client}}}"


def pool(model: str) -> tuple[str, ...]:
    """All of a model's warm pool: stock, keys, marks, shapes, bill; see ``scripts/pool.lua``."""
    place = f"{PREFIX}:pool:{{pool:{model}}}"
    return tuple(f"{place}:{part}" for part in ("stock", "keys", "marks", "shapes", "bill"))


def lease(process: str) -> str:
    """String: a replica's process renews it, which shows that it lives; see ``app.store.leases``."""
    return f"{PREFIX}:lease:{process}"


def replicas() -> str:
    """Hash: what each replica has in force; see ``scripts/replicas.lua``."""
    return f"{PREFIX}:replicas:{{replicas}}"


def ring_keys() -> str:
    """Hash: since when there is each key of the rings, and when it was used last."""
    return f"{PREFIX}:keys:{{replicas}}"


def probe(number: int) -> str:
    """String: written to see whether a node of a Cluster takes writes; its number leads to that node."""
    return f"{PREFIX}:probe:{{{number}}}"


def watch() -> str:
    """String: exists while the events have a watcher at any replica; see ``app.store.events``."""
    return f"{PREFIX}:watch"


def events() -> str:
    """Pub/sub channel: what the replicas did, while there is a watcher."""
    return f"{PREFIX}:events"


# --- the index: lists of ids, one a minute, each with an expiry -----------------------------------


def handles(minute: int) -> str:
    """List: ids of all handles that expire in this minute (epoch seconds divided by 60)."""
    return f"{PREFIX}:index:handles:{minute}"


def client_handles(client: str, minute: int) -> str:
    """List: ids of one client's handles that expire in this minute."""
    return f"{PREFIX}:index:client:{client}:{minute}"


def model_handles(model: str, minute: int) -> str:
    """List: ids of one model's handles that expire in this minute."""
    return f"{PREFIX}:index:model:{model}:{minute}"


def subject_handles(subject: str, minute: int) -> str:
    """List: ids of handles that expire in this minute, of this subject and of others with the same digits."""
    digits = hashlib.sha256(subject.encode()).hexdigest()[:_SUBJECT_DIGITS]
    return f"{PREFIX}:index:subject:{digits}:{minute}"


def calls(minute: int) -> str:
    """List: ids of all calls that were relayed in this minute."""
    return f"{PREFIX}:index:calls:{minute}"


def client_calls(client: str, minute: int) -> str:
    """List: ids of one client's calls that were relayed in this minute."""
    return f"{PREFIX}:index:client-calls:{client}:{minute}"


def ended_calls(minute: int) -> str:
    """List: ids of the calls, of those relayed in this minute, that were hung up."""
    return f"{PREFIX}:index:ended:{minute}"


def knows_version(version: int) -> bool:
    """Whether this release reads records of this version. The scripts decide the same."""
    return 1 <= version <= RECORD_VERSION


def version_of(text: str | None) -> int:
    """A record's version by its field ``v``; 0, which is none that we know, where it is not a number."""
    return _WITHOUT_FIELD if text is None else number_of(text)


def number_of(text: str | None) -> int:
    """A whole number of a record; 0 where a newer release wrote something else, or nothing."""
    return int(text) if text is not None and text.isdecimal() else 0

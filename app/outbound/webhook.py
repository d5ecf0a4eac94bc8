"""The webhook for security events: a signed message to the operator's URL, sent once.

The form is that of Standard Webhooks (https://www.standardwebhooks.com): ``webhook-id`` is the same for each
try, ``webhook-timestamp`` is when this try was made, and ``webhook-signature`` has an HMAC-SHA256 of both and
the body for each secret. So a secret is changed without a moment in which no signature is right.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from app.models import Secret
from app.outbound.client import UpstreamClient
from app.outbound.egress import Egress
from app.outbound.upstream import NoAnswer, NotAllowed, NotConnected
from app.providers.base import UpstreamRequest
from app.telemetry.timings import Timings

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
MAKE_SECRET: Final = 'make one: echo "whsec_$(openssl rand -base64 32)"'  # noqa: S105 - a command
SEND_SECONDS: Final = 10.0
# Tries at once; each may have a connection.
SENDING_AT_ONCE: Final = 8

_FEWEST_BYTES: Final = 24
_MOST_BYTES: Final = 64
_MOST_SECRETS: Final = 8
_LONGEST_PAUSE_SECONDS: Final = 600.0
_URL: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f\\#@]+\Z")


class WebhookFault(Exception):
    """A message was not taken. The text is a clause, safe to show.

    ``refused``: the receiver answered, with another status than 2xx. ``retry_after``: it asked for so many
    seconds.
    """

    def __init__(self, reason: str, *, refused: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.refused = refused
        self.retry_after = retry_after


def parse_webhook_secrets(text: str) -> tuple[Secret, ...]:
    """Read ``whsec_...`` secrets, separated by commas; each message is signed with all of them.

    Raises:
        ValueError: one is malformed or weak; the message quotes nothing and says how to make one.
    """
    entries = [entry for part in text.split(",") if (entry := part.strip())]
    if not entries:
        raise ValueError(f"it is empty; {MAKE_SECRET}")
    if len(entries) > _MOST_SECRETS:
        raise ValueError(f"it has more than {_MOST_SECRETS} secrets; keep those that receivers still use")
    for number, entry in enumerate(entries, start=1):
        _key_of(entry, number)
    return tuple(map(Secret, entries))


def check_webhook_url(url: str) -> None:
    """Raise ``ValueError`` for what is no http or https URL, or has user, password or fragment."""
    if not _URL.match(url) or not urlsplit(url).hostname:
        raise ValueError("must be a URL such as https://soc.example.com/hooks, without user or fragment")


def shown_webhook_url(url: str) -> str:
    """The URL without its path and query, which may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def signature(secrets: Sequence[Secret], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: one signature for each secret, separated by spaces."""
    signed = b"%b.%d.%b" % (message_id.encode("ascii"), timestamp, body)
    macs = [hmac.digest(_key_of(secret.reveal()), signed, "sha256") for secret in secrets]
    return " ".join(f"v1,{base64.b64encode(mac).decode('ascii')}" for mac in macs)


class Webhook:
    """Sends messages to one URL. Make it inside the running loop.

    Args:
        secrets: from ``parse_webhook_secrets``.
        egress: the way out, as to providers.
        connect_timeout: seconds.
        clock: returns epoch seconds.
    """

    def __init__(
        self,
        url: str,
        secrets: Sequence[Secret],
        *,
        egress: Egress,
        connect_timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self.shown: Final = shown_webhook_url(url)
        self._url = url
        self._secrets = secrets
        self._clock = clock
        self._client = UpstreamClient(
            connect_timeout=connect_timeout, egress=egress, connections=SENDING_AT_ONCE
        )

    def use(self, secrets: Sequence[Secret]) -> None:
        """Sign with these from now on."""
        self._secrets = secrets

    async def send(self, message_id: str, body: bytes) -> None:
        """Send a message once. It was taken where this returns.

        Raises:
            WebhookFault: the receiver did not take it, or it is not known whether it did.
        """
        timestamp = int(self._clock())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secrets, message_id, timestamp, body),
        }
        try:
            response = await self._client.post(
                UpstreamRequest(self._url, headers, body), timeout=SEND_SECONDS, timings=Timings()
            )
        except NotAllowed as refused:
            raise WebhookFault(f"{self.shown} is not asked: {refused}") from None
        except NotConnected:
            raise WebhookFault(f"{self.shown} cannot be reached") from None
        except NoAnswer as failure:
            how = "did not answer in time" if failure.timed_out else "broke off its answer"
            raise WebhookFault(f"{self.shown} {how}") from None
        if not 200 <= response.status <= 299:
            pause = _seconds(response.headers)
            raise WebhookFault(
                f"{self.shown} answered with status {response.status}", refused=True, retry_after=pause
            )

    async def close(self) -> None:
        """End every connection."""
        await self._client.close()


def _key_of(entry: str, number: int = 1) -> bytes:
    text = entry.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"secret {number} is not whsec_ and base64; {MAKE_SECRET}") from None
    if not entry.startswith(SECRET_PREFIX):
        raise ValueError(f"secret {number} does not begin with whsec_; {MAKE_SECRET}")
    if not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        wanted = f"{_FEWEST_BYTES} to {_MOST_BYTES}"
        raise ValueError(f"secret {number} has {len(key)} bytes and must have {wanted}; {MAKE_SECRET}")
    if len(set(key)) < _FEWEST_BYTES // 2:
        raise ValueError(f"secret {number} is weak, since its bytes repeat; {MAKE_SECRET}")
    return key


def _seconds(headers: Mapping[str, str]) -> float:
    """What ``Retry-After`` asks for in seconds; 0 where it is a date, or is missing."""
    text = headers.get("Retry-After", "").strip()
    return min(float(text), _LONGEST_PAUSE_SECONDS) if text.isdecimal() else 0.0

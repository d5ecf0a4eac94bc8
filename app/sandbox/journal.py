"""What was asked of the provider: a bounded ring of requests, and counts that are never dropped."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from dataclasses import dataclass

from aiohttp import web


@dataclass(slots=True)
class Entry:
    """One request. `time` is the provider's epoch seconds; `status` is None while it is unanswered.

    Header values are kept whole, keys included: this is how a test proves which credential arrived.
    """

    method: str
    path: str
    query: str
    operation: str
    headers: list[tuple[str, str]]
    body_size: int
    body_sha256: str
    time: float
    fault: str | None = None
    status: int | None = None

    def report(self) -> dict[str, object]:
        """The entry as the control API shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Journal:
    """Remembers the last `size` requests."""

    def __init__(self, size: int) -> None:
        self._ring: deque[Entry] = deque(maxlen=size)
        self._counts: Counter[str] = Counter()

    def begin(self, request: web.Request, operation: str, body: bytes, now: float) -> Entry:
        """Note that a request arrived, before anything is done about it."""
        entry = Entry(
            method=request.method,
            path=request.path,
            query=request.query_string,
            operation=operation,
            headers=list(request.headers.items()),
            body_size=len(body),
            body_sha256=hashlib.sha256(body).hexdigest(),
            time=now,
        )
        self._ring.append(entry)
        self._counts[request.path] += 1
        return entry

    def reports(self) -> list[dict[str, object]]:
        """The remembered requests, oldest first."""
        return [entry.report() for entry in self._ring]

    def counts(self) -> dict[str, int]:
        """How many requests each path has had since the last clearing."""
        return dict(self._counts)

    def clear(self) -> None:
        """Forget requests and counts."""
        self._ring.clear()
        self._counts.clear()

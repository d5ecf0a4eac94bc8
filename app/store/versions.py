"""The version of the records of handles and calls: what this release writes, and what it reads.

``docs/redis.md`` says when it changes, and what every version has in common.
"""

from __future__ import annotations

from typing import Final

# The version that this release writes, and the last one that it reads.
RECORD_VERSION: Final = 1
# The release 0.1.0 wrote records without the field.
_WITHOUT_FIELD: Final = 1


def knows_version(version: int) -> bool:
    """Whether this release reads records of this version. The scripts decide the same."""
    return 1 <= version <= RECORD_VERSION


def version_of(text: str | None) -> int:
    """A record's version by its field ``v``; 0, which is none that we know, where it is not a number."""
    return _WITHOUT_FIELD if text is None else number_of(text)


def number_of(text: str | None) -> int:
    """A whole number of a record; 0 where a newer release wrote something else, or nothing."""
    return int(text) if text is not None and text.isdecimal() else 0

"""``cloakroom handles show``: one handle's whole story."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from app.cli.columns import print_lines
from app.cli.failure import EXIT_DONE, EXIT_FAILED, CliFailure
from app.cli.handles.story import story_lines
from app.cli.output import document, write
from app.cli.pasted import UnverifiedHandle, read_unverified
from app.cli.running import operate
from app.cli.target import NOWHERE_ELSE, Target
from app.cli.times import ago, utc

if TYPE_CHECKING:
    from app.cli.operator.base import Operator


def show_handle(
    handle: str,
    /,
    *,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> int:
    """Tell a handle's whole story: minted when and by whom, what is left of it, each relay, and why it fails.

    Exit status 1 when there is no such handle.

    Args:
        handle: Its id, the handle itself, or a pasted Authorization header; only the id is sent anywhere.
        as_document: Print one JSON document.
        quiet: Print only its state: live, spent or revoked.
    """
    unverified = read_unverified(handle)

    async def work(operator: Operator) -> int:
        story = await operator.handle(unverified.id)
        now = time.time()
        if story is None:
            raise CliFailure(gone(unverified, now), status=EXIT_FAILED)
        if as_document:
            from app.broker.desk import story_document

            write(document(story_document(story.handle, story.calls)))
        elif quiet:
            write(f"{story.handle.state}\n")
        else:
            print_lines(story_lines(story, now=now))
        return EXIT_DONE

    return operate(target, work)


def gone(unverified: UnverifiedHandle, now: float) -> str:
    """What can be said of a handle without a record; ``now`` is epoch seconds."""
    text = f"there is no handle {unverified.id}: it expired or never existed."
    expiry = unverified.unverified_expires_at
    if expiry is None:
        return text
    if expiry <= now:
        return f"{text} By its own (unverified) word it expired {utc(expiry)}, {ago(expiry, now)}."
    return (
        f"{text} By its own (unverified) word it lives until {utc(expiry)}: look whether this is the store, "
        "or the service, that minted it."
    )

"""Where an operator's command goes: the options that these commands share, and the way they open."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from app.cli.failure import EXIT_REFUSED, CliFailure
from app.cli.reach.base import Operator
from app.models import Secret
from app.telemetry.logs import without_logs

URL_NAME: Final = "CLOAKROOM_ADMIN_URL"
KEY_NAME: Final = "CLOAKROOM_ADMIN_KEY"
REDIS_NAME: Final = "CLOAKROOM_REDIS_URL"
DEFAULT_URL: Final = "http://127.0.0.1:8080"

# ``cloakroom keys new`` prints name and key as a pair, so an operator's file may hold the pair.
_PAIR: Final = re.compile(r"\A[A-Za-z0-9._-]{1,64}:(?=ck_admin_)")
_GROUP: Final = Group("Where to", sort_key=90)

T = TypeVar("T")


@Parameter(name="*", group=_GROUP)
@dataclass(frozen=True, slots=True)
class Target:
    """The options for the way to the service, or to its store."""

    url: Annotated[
        str | None,
        Parameter(help=f"Any replica's origin. Default: {URL_NAME}, then {DEFAULT_URL}."),
    ] = None
    admin_key_file: Annotated[
        Path | None,
        Parameter(help=f"File that holds the admin key. Default: the variable {KEY_NAME}."),
    ] = None
    redis_url: Annotated[
        str | None,
        Parameter(help="Go straight to this store instead, also when no replica is up; no admin key."),
    ] = None
    direct: Annotated[
        bool,
        Parameter(negative=(), help=f"Go straight to the store that {REDIS_NAME} names."),
    ] = False
    timeout: Annotated[
        float,
        Parameter(validator=Number(gte=0.1, lte=120), help="Seconds for each step."),
    ] = 10.0


NOWHERE_ELSE: Final = Target()


def operate(target: Target, work: Callable[[Operator], Awaitable[T]]) -> T:
    """Run ``work`` over the way that ``target`` names and return its result. Ctrl-C cancels it.

    Raises:
        CliFailure: from ``open_operator`` or from the work.
        KeyboardInterrupt: after Ctrl-C.
    """

    async def run() -> T:
        async with open_operator(target) as operator:
            return await work(operator)

    # The store's log lines are written for the service; a command prints its own messages.
    with without_logs():
        return asyncio.run(run())


@asynccontextmanager
async def open_operator(target: Target, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Operator]:
    """Open the way that was asked for.

    Raises:
        CliFailure: two ways at once, no admin key, or an unusable address.
    """
    store = _store_url(target, environ)
    if store is not None:
        from app.cli.reach.store import open_store

        async with open_store(store, timeout=target.timeout) as direct:
            yield direct
        return
    from app.cli.reach.admin_api import open_admin_api

    url = target.url or environ.get(URL_NAME) or DEFAULT_URL
    async with open_admin_api(url, _admin_key(target, environ), timeout=target.timeout) as api:
        yield api


def where_to(target: Target, environ: Mapping[str, str] = os.environ) -> str:
    """The way in words, safe to show."""
    if target.direct or target.redis_url is not None:
        return "the store"
    # The part before an @ would be a password; ``open_operator`` refuses it.
    return (target.url or environ.get(URL_NAME) or DEFAULT_URL).rpartition("@")[2]


def _store_url(target: Target, environ: Mapping[str, str]) -> str | None:
    ways = sum((target.redis_url is not None, target.direct, target.url is not None))
    if ways > 1:
        raise CliFailure("--url, --redis-url and --direct exclude each other.", status=EXIT_REFUSED)
    if not target.direct:
        return target.redis_url
    url = _variable(REDIS_NAME, environ)
    if not url:
        raise CliFailure(
            f"--direct goes to the store of {REDIS_NAME}, which is not set.", status=EXIT_REFUSED
        )
    return url


def _admin_key(target: Target, environ: Mapping[str, str]) -> Secret:
    """The key, alone or as the pair of name and key that ``cloakroom keys new`` prints."""
    if target.admin_key_file is not None:
        try:
            text = target.admin_key_file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise CliFailure(f"--admin-key-file cannot be read: {reason}.", status=EXIT_REFUSED) from None
    else:
        text = _variable(KEY_NAME, environ)
    key = _PAIR.sub("", text.strip())
    if not key or not key.isprintable() or " " in key:
        raise CliFailure(
            f"an admin key is needed: set {KEY_NAME} or give --admin-key-file; one of the service's "
            "CLOAKROOM_ADMIN_KEYS. With --redis-url or --direct none is needed.",
            status=EXIT_REFUSED,
        )
    return Secret(key)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    """A secret's variable, or the file that ``NAME_FILE`` names; empty where neither is set."""
    # A command that does not need the settings starts sooner without them.
    from app.settings import SettingsError, Variables

    try:
        return Variables(environ).get(name, "")
    except SettingsError as error:
        raise CliFailure(f"{error}.", status=EXIT_REFUSED) from None

"""Where the admin API is. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from app.cli.failure import EXIT_REFUSED, CliFailure


def base_of(url: str) -> str:
    """The address without a trailing slash.

    Raises:
        CliFailure: it is none, or holds a password, which would be shown; the message repeats nothing of it.
    """
    problem = CliFailure(
        "--url must be an origin such as http://127.0.0.1:8080, without a user or a query.",
        status=EXIT_REFUSED,
    )
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise problem from None
    strange = parts.username is not None or parts.query or parts.fragment or not url.isprintable()
    if parts.scheme not in ("http", "https") or not parts.hostname or strange or port == 0:
        raise problem
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"

"""The page's security headers. Nothing inline, nothing from elsewhere, no talk but with the replicas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def page_headers(replica_origins: Iterable[str]) -> Mapping[str, str]:
    """Headers of the HTML page.

    The sound needs no ``media-src``: it is a stream given to the element, not a URL (CSP 3, section 6.1).
    """
    connect = " ".join(["'self'", *sorted({origin for origin in replica_origins if origin})])
    directives = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        f"connect-src {connect}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # The page writes text, never markup; this makes the browser hold it to that.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(directives),
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }

"""Judges settings that load: what is in force, and what to change although the service starts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from app.broker.routing.catalog import ANY_MODEL
from app.doctor.finding import Finding, Status
from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.outbound.addresses import SETTING, Network
from app.outbound.egress import Egress
from app.outbound.webhook import shown_webhook_url
from app.settings import Settings
from app.settings.aliases import ModelSettings, choices
from app.settings.groups.workers import usable_cpus, worker_count
from app.settings.secrets import MAKE_KEYS, parse_key_pairs

# 32 random bytes in base64 have 44.
_SOUND_SECRET_CHARS: Final = 24


def settings_findings(settings: Settings, *, has_engine: bool, cpus: int | None = None) -> Iterator[Finding]:
    """Every row of the area ``settings``.

    Args:
        settings: as loaded.
        has_engine: whether ``serve`` would find a server program for an embedded store.
        cpus: how many may be used; by default those of this machine.
    """
    yield Finding("settings", "environment", "ok", settings.environment)
    yield _workers(settings, usable_cpus() if cpus is None else cpus)
    yield from _rings(settings)
    yield from _clients(settings)
    yield _admins(settings)
    yield from _models(settings)
    yield from _pools(settings)
    yield _uses(settings)
    yield _cors(settings)
    yield _public_url(settings)
    yield _hosts(settings)
    yield from _ice(settings)
    yield _security_events(settings)
    if settings.production and settings.demo_enabled:
        text = "the page /demo is served in production, and anyone can open it"
        yield Finding("settings", "demo page", "warn", text, "leave CLOAKROOM_DEMO out")
    if settings.redis_url is None:
        yield _no_store(has_engine=has_engine)


def _workers(settings: Settings, cpus: int) -> Finding:
    """How many processes a replica is, and what its limits come to."""
    number = worker_count(settings, cpus=cpus)
    if number == 1:
        return Finding("settings", "workers", "ok", "one process, which uses one CPU")
    text = (
        f"{number} processes, which together take {number * settings.max_in_flight:,} requests in flight, "
        f"{number * settings.sideband_max:,} sidebands, {number * settings.held_calls_max:,} held calls and "
        f"{number * settings.redis_max_connections:,} connections to the store"
    )
    if number > cpus:
        text = (
            f"{number} processes share the time of {cpus} CPU{'' if cpus == 1 else 's'} that may be used here"
        )
        return Finding("settings", "workers", "warn", text, "set CLOAKROOM_WORKERS=auto")
    return Finding("settings", "workers", "ok", text)


def egress_finding(egress: Egress) -> Finding:
    """How requests leave, where to, and whom they trust; a proxy without its credentials."""
    shown = {f"{proxy}": None for proxy in egress.proxies.values()}
    way = f"through the proxy {' or '.join(shown)} ({egress.source})" if shown else "directly"
    parts = [f"{way}, except to NO_PROXY's hosts" if shown and egress.no_proxy else way]
    files = egress.certificates
    if files.ca_file is not None:
        parts.append(f"trusts {files.ca_file} besides the system's CAs")
    if files.client_cert_file is not None:
        parts.append(f"shows the certificate in {files.client_cert_file}")
    networks, metadata = egress.guard.networks, egress.guard.metadata
    if networks:
        parts.append(f"to public addresses, and to {', '.join(map(str, networks))}")
    if metadata or _opens_all(networks):
        shown_open = ", ".join(str(network.network_address) for network in metadata)
        risk = f"a metadata service ({shown_open})" if metadata else "every address but a metadata service"
        text = f"{'; '.join(parts)}: {risk} can be asked through a provider's name"
        fix = f"leave in {SETTING} only networks that a provider or an issuer is in"
        return Finding("settings", "egress", "warn", text, fix)
    return Finding("settings", "egress", "ok", "; ".join(parts))


def _opens_all(networks: Sequence[Network]) -> bool:
    return any(network.prefixlen == 0 for network in networks)


def _rings(settings: Settings) -> Iterator[Finding]:
    if settings.signing_keys is not None:
        ring = parse_signing_ring(settings.signing_keys.get_secret_value())
        text = (
            f"{ring.active.kid} signs ({ring.active.algorithm}){_others(ring.by_kid, 'verifies', 'verify')}"
        )
        yield Finding("settings", "signing keys", "ok", text)
    if settings.sealing_keys is not None:
        sealing = parse_sealing_ring(settings.sealing_keys.get_secret_value())
        text = f"{sealing.active.kid} seals (AES-256-GCM){_others(sealing.by_kid, 'unseals', 'unseal')}"
        yield Finding("settings", "sealing keys", "ok", text)


def _others(ring: Mapping[str, object], one: str, several: str) -> str:
    retired = list(ring)[1:]
    return f"; {', '.join(retired)} {one if len(retired) == 1 else several} only" if retired else ""


def _clients(settings: Settings) -> Iterator[Finding]:
    pairs = parse_key_pairs(settings.api_keys.get_secret_value()) if settings.api_keys else {}
    mute = sorted(name for name, client in settings.clients.items() if client.models == ())
    if mute:
        text = f"{', '.join(mute)} may mint for no model"
        fix = f"name aliases in clients.{mute[0]}.models, or leave it out for all"
        yield Finding("settings", "clients", "warn", text, fix)
    able = [*pairs, *(name for name in settings.clients if name not in mute)]
    if able:
        yield Finding("settings", "clients", "ok", f"{', '.join(sorted(able))} may mint")


def _admins(settings: Settings) -> Finding:
    if settings.admin_keys is None:
        text = "no one can use the admin paths or the commands that need them"
        return Finding("settings", "admin keys", "warn", text, f"set CLOAKROOM_ADMIN_KEYS; {MAKE_KEYS}")
    names = parse_key_pairs(settings.admin_keys.get_secret_value())
    return Finding("settings", "admin keys", "ok", f"{', '.join(sorted(names))} may administer")


def _models(settings: Settings) -> Iterator[Finding]:
    shown = (
        f"{'any other name' if alias == ANY_MODEL else alias} -> "
        + ", ".join(choice.deployment for choice in choices(entry))
        + (f" (never outside {entry.region})" if isinstance(entry, ModelSettings) and entry.region else "")
        for alias, entry in settings.models.items()
    )
    yield Finding("settings", "models", "ok", "; ".join(shown))
    used = {choice.deployment for entry in settings.models.values() for choice in choices(entry)}
    idle = sorted(settings.deployments.keys() - used)
    if idle:
        text, fix = (
            f"no model leads to {', '.join(idle)}",
            "name it under models, or remove it from deployments",
        )
        yield Finding("settings", "models", "warn", text, fix)
    text = settings.default_model or "none: a mint request that names no model is refused"
    yield Finding("settings", "default model", "ok", text)


def _pools(settings: Settings) -> Iterator[Finding]:
    """The models whose keys are minted ahead, and what keeps mints from using them."""
    pools = {
        alias: entry.pool
        for alias, entry in settings.models.items()
        if isinstance(entry, ModelSettings) and entry.pool is not None
    }
    if not pools:
        return
    shown = (
        f"{alias} keeps up to {pool.target:,} keys, of which {pool.max_waste:.0%} may be wasted"
        for alias, pool in pools.items()
    )
    yield Finding("settings", "pools", "ok", "; ".join(shown))
    if settings.subject_key is not None:
        text = "mints with a subject use no pool: CLOAKROOM_SUBJECT_KEY makes a safety identifier for each"
        fix = "leave CLOAKROOM_SUBJECT_KEY out, or accept that these mints wait for the provider"
        yield Finding("settings", "pools", "warn", text, fix)


def _uses(settings: Settings) -> Finding:
    limit = settings.handle_max_calls
    if limit == 0:
        text = "a handle opens as many calls as the provider allows until it expires"
    else:
        text = f"a handle opens {limit} call{'' if limit == 1 else 's'}"
    return Finding("settings", "uses of a handle", "ok", text)


def _cors(settings: Settings) -> Finding:
    origins = settings.cors_origins
    status: Status = "warn" if settings.production else "ok"
    fix = "set CLOAKROOM_CORS_ORIGINS to your pages' origins, such as https://app.example.com"
    if "*" in origins:
        return _row("CORS", status, "pages of any origin may call", fix)
    if not origins:
        return _row("CORS", status, "no page of another origin may call", fix)
    return Finding("settings", "CORS", "ok", ", ".join(origins))


def _public_url(settings: Settings) -> Finding:
    url, fix = settings.public_url, "set CLOAKROOM_PUBLIC_URL to https://... as browsers see it"
    if url is None:
        status: Status = "warn" if settings.production else "ok"
        return _row("public URL", status, "not set: calls_url is made from the Host of each request", fix)
    if settings.production and url.startswith("http://"):
        return _row("public URL", "warn", f"{url}: handles would travel without TLS", fix)
    return Finding("settings", "public URL", "ok", url)


def _security_events(settings: Settings) -> Finding:
    url = settings.security_webhook_url
    where = "no webhook" if url is None else f"a webhook at {shown_webhook_url(url.get_secret_value())}"
    strict = "" if settings.require_call_proofs else "; calls without a proof, of an older release, count"
    return Finding("settings", "security events", "ok", f"told in log, metrics and records; {where}{strict}")


def _hosts(settings: Settings) -> Finding:
    if settings.allowed_hosts:
        return Finding("settings", "allowed hosts", "ok", ", ".join(settings.allowed_hosts))
    status: Status = "warn" if settings.production else "ok"
    text = "not set: a page whose name is made to lead here can call as if it were ours (DNS rebinding)"
    fix = "set CLOAKROOM_ALLOWED_HOSTS to every name under which the service is called, internal ones too"
    return _row("allowed hosts", status, text, fix)


def _ice(settings: Settings) -> Iterator[Finding]:
    ice = settings.ice
    if not ice.servers:
        text = "none of the operator's: browsers connect directly, or by servers that the provider names"
        yield Finding("settings", "ICE servers", "ok", text)
        return
    urls = ", ".join(url for server in ice.servers for url in server.urls)
    life = f"; credentials live {ice.lifetime_seconds} s" if ice.turn_secret is not None else ""
    yield Finding("settings", "ICE servers", "ok", f"{urls}{life}")
    if ice.turn_secret is not None and len(ice.turn_secret.get_secret_value()) < _SOUND_SECRET_CHARS:
        text = "ice.turn_secret is short, and each credential lets its bearer try to guess it"
        fix = "set a longer one here and at the TURN server: openssl rand -base64 32"
        yield Finding("settings", "ICE servers", "warn", text, fix)
    fixed = [server.urls[0] for server in ice.servers if server.credential is not None]
    if fixed and settings.production:
        text = f"{', '.join(fixed)}: a fixed credential, which the bearer of any handle can keep and use"
        fix = "let the TURN server share a secret (coturn: use-auth-secret), and set ice.turn_secret"
        yield Finding("settings", "ICE servers", "warn", text, fix)


def _no_store(*, has_engine: bool) -> Finding:
    kind = "an embedded server" if has_engine else "memory://, since no server program was found"
    text = f"no CLOAKROOM_REDIS_URL: serve starts {kind}, which no other replica can use"
    fix = "set CLOAKROOM_REDIS_URL for more than one replica"
    return Finding("settings", "store", "warn", text, fix)


def _row(name: str, status: Status, detail: str, fix: str) -> Finding:
    return Finding("settings", name, status, detail, "" if status == "ok" else fix)


def shared_secret_findings(settings: Settings) -> Iterator[Finding]:
    """A row for each pair of settings with the same secret, or one row that says there is none.

    A leak of one is a leak of both.
    """
    places: dict[str, list[str]] = {}
    for place, value in _secrets(settings):
        places.setdefault(_digest(value), []).append(place)
    pairs = [pair for names in places.values() for pair in combinations(dict.fromkeys(names), 2)]
    for first, second in pairs:
        text = f"{first} and {second} hold the same secret"
        yield Finding("settings", "secrets", "warn", text, "give each its own: cloakroom keys new")
    if not pairs:
        yield Finding("settings", "secrets", "ok", "each serves one purpose")


def _secrets(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, ring in (("SIGNING", settings.signing_keys), ("SEALING", settings.sealing_keys)):
        for entry in ring.get_secret_value().split(",") if ring is not None else ():
            yield f"CLOAKROOM_{name}_KEYS", entry.partition(":")[2].strip()
    for name, pairs in (("API", settings.api_keys), ("ADMIN", settings.admin_keys)):
        for holder, key in parse_key_pairs(pairs.get_secret_value()).items() if pairs is not None else ():
            yield f"CLOAKROOM_{name}_KEYS ({holder})", key
    for holder, client in settings.clients.items():
        if client.api_key is not None:
            yield f"clients.{holder}.api_key", client.api_key.get_secret_value()
    webhook = settings.security_webhook_secret
    for entry in webhook.get_secret_value().split(",") if webhook is not None else ():
        yield "CLOAKROOM_SECURITY_WEBHOOK_SECRET", entry.strip()
    if settings.ice.turn_secret is not None:
        yield "ice.turn_secret", settings.ice.turn_secret.get_secret_value()
    # Deployments may share a key: a provider's account can have many deployments.
    for deployment in settings.deployments.values():
        if deployment.api_key is not None:
            yield "a deployment's api_key", deployment.api_key.get_secret_value()


def _digest(value: str) -> str:
    """The same text for a key in clear and for its SHA-256."""
    if value.startswith("sha256:"):
        return value
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()

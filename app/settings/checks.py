"""Rules over several settings. Each breach is one line that says how to fix it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.broker.clients import key_digest
from app.broker.routing.catalog import ANY_MODEL
from app.outbound.webhook import MAKE_SECRET
from app.providers.base import http_url, on_this_machine
from app.providers.registry import PROVIDERS, region_of
from app.settings.aliases import ModelSettings, choices, successor_problems
from app.settings.deployment import DeploymentSettings, known_regions
from app.settings.groups.workers import worker_count
from app.settings.identity import issuer_problems
from app.settings.model import Settings
from app.settings.secrets import MAKE_KEYS, parse_key_pairs
from app.telemetry.redaction import legible


def problems_of(settings: Settings) -> list[str]:
    """Every breach of a rule over several fields."""
    return [
        *_hidden_names(settings),
        *_missing_secrets(settings),
        *_shared_keys(settings),
        *_issuer_problems(settings),
        *_port_problems(settings),
        *_store_problems(settings),
        *_egress_problems(settings),
        *_webhook_problems(settings),
        *_catalog_problems(settings),
    ]


def _hidden_names(settings: Settings) -> Iterator[str]:
    """A line for each name that shows as another one, in lists, in logs and as a label of metrics."""
    for section in ("deployments", "models", "clients", "issuers"):
        for name in getattr(settings, section):
            shown = legible(name)
            if shown != name:
                yield f"{section}: the name '{shown}' has characters that do not show; write it without them"


def _missing_secrets(settings: Settings) -> list[str]:
    problems = []
    for name in ("signing_keys", "sealing_keys"):
        if getattr(settings, name) is None:
            problems.append(f"CLOAKROOM_{name.upper()} is missing; {MAKE_KEYS}")
    if settings.api_keys is None and not settings.clients:
        problems.append(f"CLOAKROOM_API_KEYS is missing, so no client could mint; {MAKE_KEYS}")
    if settings.api_keys is not None:
        twice = parse_key_pairs(settings.api_keys.get_secret_value()).keys() & settings.clients.keys()
        problems += [
            f"client {name!r} is in both CLOAKROOM_API_KEYS and clients; remove one of them"
            for name in sorted(twice)
        ]
    return problems


def _shared_keys(settings: Settings) -> list[str]:
    """A client whose key is also an operator's could use the admin API."""
    if settings.admin_keys is None:
        return []
    clients = parse_key_pairs(settings.api_keys.get_secret_value()) if settings.api_keys is not None else {}
    clients |= {
        name: client.api_key.get_secret_value()
        for name, client in settings.clients.items()
        if client.api_key is not None
    }
    named = {key_digest(key): name for name, key in clients.items()}
    return [
        f"operator {name!r} of CLOAKROOM_ADMIN_KEYS and client {named[key_digest(key)]!r} have the same key; "
        f"give each its own; {MAKE_KEYS}"
        for name, key in parse_key_pairs(settings.admin_keys.get_secret_value()).items()
        if key_digest(key) in named
    ]


def _issuer_problems(settings: Settings) -> Iterator[str]:
    pairs = parse_key_pairs(settings.api_keys.get_secret_value()) if settings.api_keys is not None else {}
    return issuer_problems(
        settings.issuers,
        clients=frozenset({*pairs, *settings.clients}),
        keyless=frozenset(name for name, client in settings.clients.items() if client.api_key is None),
    )


def _port_problems(settings: Settings) -> list[str]:
    same_host = settings.ops_host in (None, settings.host)
    if settings.ops_port and settings.ops_port == settings.port and same_host:
        return ["CLOAKROOM_OPS_PORT is CLOAKROOM_PORT; give it another, or leave it out to use one port"]
    if settings.ops_host is not None and settings.ops_port is None:
        return ["CLOAKROOM_OPS_HOST is set without CLOAKROOM_OPS_PORT, so it has no effect; set both"]
    return []


def _store_problems(settings: Settings) -> list[str]:
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    if settings.production and (url is None or url.startswith("memory:")):
        return [
            "CLOAKROOM_REDIS_URL must name a Redis or Valkey server in production, where replicas share it; "
            "set redis://..., or CLOAKROOM_ENVIRONMENT=development for one replica with an embedded store"
        ]
    if url is not None and not re.match(
        r"(rediss?|redis\+sentinel|redis\+cluster|rediss\+cluster|memory)://", url
    ):
        return [
            "CLOAKROOM_REDIS_URL must begin with redis:// rediss:// redis+sentinel:// redis+cluster:// or memory://"
        ]
    if url is not None and url.startswith("memory:") and worker_count(settings) > 1:
        return [
            "CLOAKROOM_WORKERS: with memory:// each worker would have a store for itself; set "
            "CLOAKROOM_REDIS_URL to a server that all of them see, or leave CLOAKROOM_WORKERS out"
        ]
    if settings.store_wait_replicas and (url is None or url.startswith("memory:")):
        return [
            "CLOAKROOM_STORE_WAIT_REPLICAS needs a store with replicas, which the embedded one has not; set "
            "CLOAKROOM_REDIS_URL to a server that has some, or leave it out"
        ]
    return []


def _egress_problems(settings: Settings) -> Iterator[str]:
    yield from _plain_http(settings)
    if settings.provider_client_key_file is not None and settings.provider_client_cert_file is None:
        yield (
            "CLOAKROOM_PROVIDER_CLIENT_KEY_FILE is set without CLOAKROOM_PROVIDER_CLIENT_CERT_FILE, so it "
            "has no effect; set that too"
        )


def _plain_http(settings: Settings) -> Iterator[str]:
    """A line for each deployment whose key and offers anyone on the way could read."""
    may = {host.lower() for host in settings.plain_http_hosts}
    for name, deployment in settings.deployments.items():
        for field in ("base_url", "webrtc_url"):
            parts = http_url((getattr(deployment, field) or "").strip())
            if parts is None or parts.scheme != "http" or on_this_machine(parts.hostname):
                continue
            if parts.hostname not in may:
                yield (
                    f"deployments.{name}.{field}: http sends credentials and offers in clear; write https, "
                    f"or, if that is meant, put {parts.hostname} into CLOAKROOM_PLAIN_HTTP_HOSTS"
                )


def _webhook_problems(settings: Settings) -> list[str]:
    url, secret = settings.security_webhook_url, settings.security_webhook_secret
    if url is None and secret is None:
        return []
    if secret is None:
        return [f"CLOAKROOM_SECURITY_WEBHOOK_SECRET is missing; {MAKE_SECRET}"]
    if url is None:
        return ["CLOAKROOM_SECURITY_WEBHOOK_SECRET is set without CLOAKROOM_SECURITY_WEBHOOK_URL; set both"]
    if settings.production and not url.get_secret_value().startswith("https://"):
        return [
            "CLOAKROOM_SECURITY_WEBHOOK_URL must be https, since its messages hold addresses of callers; "
            "http is for CLOAKROOM_ENVIRONMENT=development only"
        ]
    return []


def _catalog_problems(settings: Settings) -> list[str]:
    if not settings.deployments:
        return [
            "no provider is configured; set OPENAI_API_KEY, or AZURE_OPENAI_ENDPOINT with "
            "AZURE_OPENAI_API_KEY and AZURE_OPENAI_DEPLOYMENT_NAME, or name a YAML file with deployments "
            "and models in CLOAKROOM_CONFIG"
        ]
    problems = [
        f"models.{alias}: there is no deployment {name!r}; known: {', '.join(sorted(settings.deployments))}"
        for alias, entry in settings.models.items()
        for name in (choice.deployment for choice in choices(entry))
        if name not in settings.deployments
    ]
    problems += _leaving_their_region(settings)
    problems += _lost_sessions(settings)
    problems += _idle_pools(settings)
    successions = list(successor_problems(settings.models))
    problems += successions or _idle_successors(settings)
    if not settings.models:
        problems.append("models is empty: map at least one alias to a deployment, or '*' to take any name")
    if "*" in settings.models:
        return problems
    for name, client in settings.clients.items():
        unknown = sorted(set(client.models or ()) - settings.models.keys())
        problems += [f"clients.{name}.models: there is no model {alias!r}" for alias in unknown]
    if settings.default_model is not None and settings.default_model not in settings.models:
        problems.append(f"CLOAKROOM_DEFAULT_MODEL: there is no model {settings.default_model!r}")
    return problems


def _idle_successors(settings: Settings) -> list[str]:
    """A deployment with a model of its own serves that one under every alias."""

    def served(alias: str) -> set[tuple[str, str]]:
        entry = settings.models.get(alias, settings.models.get(ANY_MODEL, ()))
        names = {choice.deployment for choice in choices(entry)} & settings.deployments.keys()
        return {(name, settings.deployments[name].model or alias) for name in names}

    return [
        f"models.{alias}.successor: {entry.successor!r} is minted as the same model at the same deployments; "
        "give it a deployment with another model, or leave the model out there"
        for alias, entry in settings.models.items()
        if isinstance(entry, ModelSettings)
        and entry.successor is not None
        and served(alias) == served(entry.successor)
    ]


def _leaving_their_region(settings: Settings) -> Iterator[str]:
    """A line for each deployment that a model locked to a region could be minted at outside of it."""
    for alias, entry in settings.models.items():
        if not isinstance(entry, ModelSettings) or entry.region is None:
            continue
        known = known_regions()
        if entry.region not in known:
            yield f"models.{alias}.region: {entry.region!r} is no region; known: {', '.join(known)}"
            continue
        for name in dict.fromkeys(_later_deployments(settings, alias)):
            region = _region(settings.deployments[name])
            if region != entry.region:
                where = f"is in {region!r}" if region is not None else "names no region"
                yield (
                    f"models.{alias}: it never leaves region {entry.region!r}, "
                    f"and deployment {name!r} {where}; take it out, or set deployments.{name}.region"
                )


def _lost_sessions(settings: Settings) -> Iterator[str]:
    """A line for each deployment whose calls would not have what a model's policy puts into sessions."""
    for alias, entry in settings.models.items():
        if not isinstance(entry, ModelSettings) or not (entry.locked or entry.defaults):
            continue
        for name in dict.fromkeys(_later_deployments(settings, alias)):
            provider = settings.deployments[name].provider
            if not PROVIDERS[provider].traits.takes_session:
                yield (
                    f"models.{alias}: a call at deployment {name!r} takes no session, since it is "
                    f"{provider}, so what is locked or a default would be lost; remove it, or take the "
                    "deployment out"
                )


def _idle_pools(settings: Settings) -> Iterator[str]:
    """A line for each pool that could hold nothing."""
    for alias, entry in settings.models.items():
        if not isinstance(entry, ModelSettings) or entry.pool is None:
            continue
        if alias == ANY_MODEL:
            yield "models.*.pool: any name has no pool; name the models that are to have one"
        for name in dict.fromkeys(_later_deployments(settings, alias)):
            if not settings.deployments[name].mints:
                yield (
                    f"models.{alias}.pool: deployment {name!r} mints no keys, so there is nothing to keep; "
                    "remove pool, or take the deployment out"
                )


def _later_deployments(settings: Settings, alias: str) -> Iterator[str]:
    """The deployments of an alias and of all that succeed it."""
    seen: set[str] = set()
    following: str | None = alias
    while following is not None and following not in seen:
        seen.add(following)
        entry = settings.models.get(following, settings.models.get(ANY_MODEL, ()))
        yield from (
            choice.deployment for choice in choices(entry) if choice.deployment in settings.deployments
        )
        following = entry.successor if isinstance(entry, ModelSettings) else None


def _region(deployment: DeploymentSettings) -> str | None:
    provider = PROVIDERS[deployment.provider]
    try:
        return region_of(provider.traits, deployment.region, provider.base_url(deployment.base_url))
    except ValueError:
        # No URL of this provider: that is told when the parts are wired.
        return None

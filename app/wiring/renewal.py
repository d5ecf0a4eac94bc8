"""Which of the settings that were read anew count without a restart: the secrets, and whole clients. Pure.

Everything else stays as it was at the start, and is named, so that an operator knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from app.settings import DeploymentSettings, Settings
from app.store.address import parse_address

# Taken as they are. Rings, keys of clients and operators, and clients with their limits.
_WHOLE: Final = ("signing_keys", "sealing_keys", "api_keys", "clients")
# Taken where there is one before and after: what has none at the start has no part that would use it.
_REPLACED: Final = ("admin_keys", "subject_key", "security_webhook_secret")


@dataclass(frozen=True, slots=True)
class Renewal:
    """What comes of reading the settings anew.

    ``settings`` are those to be in force; ``changed`` are the names of what is new in them, ``restart`` of
    what is not taken. Neither holds a value.
    """

    settings: Settings
    changed: tuple[str, ...]
    restart: tuple[str, ...]


def renewed(running: Settings, fresh: Settings) -> Renewal:
    """Lay what may change over the settings in force."""
    update: dict[str, Any] = {name: getattr(fresh, name) for name in _WHOLE}
    for name in _REPLACED:
        before, after = getattr(running, name, None), getattr(fresh, name, None)
        if before is not None and after is not None:
            update[name] = after
    update["deployments"] = {
        name: _deployment(deployment, fresh.deployments.get(name))
        for name, deployment in running.deployments.items()
    }
    if _shape(running.ice) == _shape(fresh.ice):
        update["ice"] = fresh.ice
    if _same_store(running.redis_url, fresh.redis_url):
        update["redis_url"] = fresh.redis_url
    settings = running.model_copy(update=update)
    return Renewal(settings, tuple(_differing(running, settings)), tuple(_differing(settings, fresh)))


def _deployment(running: DeploymentSettings, fresh: DeploymentSettings | None) -> DeploymentSettings:
    """The deployment with its new credential.

    It is taken for the same place alone: beside another address it may belong to another provider.
    """
    return fresh if fresh is not None and _shape(running) == _shape(fresh) else running


def _shape(value: Any) -> Any:
    """A section without its secrets."""
    if isinstance(value, BaseModel):
        return {name: _shape(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shape(item) for item in value]
    return "secret" if isinstance(value, SecretStr) else value


def _same_store(running: SecretStr | None, fresh: SecretStr | None) -> bool:
    """Whether the two differ in user and password at most, and the store asks for one."""
    if running is None or fresh is None:
        return running is fresh
    try:
        before, after = (parse_address(url.get_secret_value()) for url in (running, fresh))
    except ValueError:
        return False
    return before.password is not None and after.password is not None and _nobody(before) == _nobody(after)


def _nobody(address: Any) -> Any:
    return replace(address, username=None, password=None)


def _differing(one: Settings, other: Settings) -> list[str]:
    """The names of the settings that differ; in a mapping, of the entries."""
    names = []
    for name in Settings.model_fields:
        before, after = getattr(one, name), getattr(other, name)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            entries = sorted(before.keys() | after.keys())
            names += [f"{name}.{entry}" for entry in entries if before.get(entry) != after.get(entry)]
        else:
            names.append(name)
    return names

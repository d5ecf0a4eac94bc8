"""Identity providers in the settings: whose users mint for themselves, whose workloads get client tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from app.identity.issuers import USUAL_LEEWAY_SECONDS, Algorithm
from app.identity.keys import is_safe_url
from app.settings.base import Section

_URL_FORM: Final = "must be an https URL; http is for this machine only"
_CLIENT: Final = r"^[A-Za-z0-9._-]{1,64}$"


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string"}, "minItems": 1}
OneOrMore = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, _TEXTS]}),
]


class UsersSettings(Section):
    """Users of the issuer mint with their own tokens; the handle's subject is the token's sub."""

    client: str | None = Field(
        default=None,
        pattern=_CLIENT,
        description="the client whose policy they have; default: none, so that only users in clients mint",
    )
    claim: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="the claim that picks another client, by its name or its path: realm_access.roles",
    )
    clients: dict[str, Annotated[str, Field(pattern=_CLIENT)]] = Field(
        default_factory=dict, description="value of that claim -> client; the first that a token has counts"
    )
    page_client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="the demo page signs in as this application of the issuer's; default: it does not",
    )

    @model_validator(mode="after")
    def _whole(self) -> UsersSettings:
        if (self.claim is None) != (not self.clients):
            raise ValueError("claim and clients belong together: the claim's values pick the client")
        if self.client is None and not self.clients:
            raise ValueError("client is missing: the client whose policy these users have")
        return self


class ExchangeSettings(Section):
    """Workloads of the issuer that get a client's token for their own."""

    subject: str = Field(
        min_length=1, max_length=255, description="their sub; * stands for any text, and not at the beginning"
    )
    client: str = Field(pattern=_CLIENT, description="the client that they are")
    audience: str | None = Field(default=None, description="one of the issuer's; default: any of them")

    @field_validator("subject")
    @classmethod
    def _narrow(cls, value: str) -> str:
        if not re.fullmatch(r"[\x21-\x7e]+", value) or re.search(r"[?\[\]]", value):
            raise ValueError("printable characters without spaces, of which * alone stands for others")
        if value.startswith("*"):
            raise ValueError("begins with *, which fits everybody's workloads; begin with your own name")
        return value


class IssuerSettings(Section):
    """One identity provider (OpenID Connect), or another issuer of JWTs with a public JWK Set."""

    issuer: str = Field(description="exactly what its tokens have in iss; where its discovery document is")
    audience: OneOrMore = Field(
        min_length=1,
        description="what its tokens have in aud, one or a list: this service",
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256",), min_length=1, description="that its tokens may be signed with"
    )
    jwks_url: str | None = Field(
        default=None, description="where its keys are; default: as its discovery document says"
    )
    token_file: str | None = Field(
        default=None,
        min_length=1,
        description="a file with the token to show there, read anew each time; for a Kubernetes API server",
    )
    leeway_seconds: float = Field(
        default=USUAL_LEEWAY_SECONDS, ge=0, le=300, description="its clock and ours may differ by so much"
    )
    users: UsersSettings | None = Field(default=None, description="its users may mint for themselves")
    exchange: tuple[ExchangeSettings, ...] = Field(
        default=(),
        description="its workloads get client tokens at /oauth/token, by the first rule that fits",
    )

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _encrypted(cls, value: str | None) -> str | None:
        if value is not None and not is_safe_url(value):
            raise ValueError(_URL_FORM)
        return value

    @model_validator(mode="after")
    def _used(self) -> IssuerSettings:
        if self.users is None and not self.exchange:
            raise ValueError("neither users nor exchange is set, so its tokens are good for nothing; set one")
        for rule in self.exchange:
            if rule.audience is not None and rule.audience not in self.audience:
                raise ValueError(f"exchange: {rule.audience!r} is not one of the issuer's audiences")
        return self

    def named_clients(self) -> Iterator[tuple[str, str]]:
        """Each client that a token can stand for, with the setting that names it."""
        if self.users is not None:
            if self.users.client is not None:
                yield "users.client", self.users.client
            yield from ((f"users.clients.{value}", client) for value, client in self.users.clients.items())
        yield from ((f"exchange.{number}.client", rule.client) for number, rule in enumerate(self.exchange))


def issuer_problems(
    issuers: Mapping[str, IssuerSettings], *, clients: frozenset[str], keyless: frozenset[str]
) -> Iterator[str]:
    """Every breach of a rule over issuers and clients.

    Args:
        clients: the names of all.
        keyless: those of clients that have no key.
    """
    urls: dict[str, str] = {}
    of_users: dict[str, str] = {}
    reached = set()
    for name, issuer in issuers.items():
        first = urls.setdefault(issuer.issuer, name)
        if first != name:
            yield f"issuers.{name}.issuer is that of issuers.{first}; put both into one"
        for place, client in issuer.named_clients():
            reached.add(client)
            if client not in clients:
                yield f"issuers.{name}.{place}: there is no client {client!r}; add it under clients"
            if place.startswith("users") and of_users.setdefault(client, name) != name:
                yield (
                    f"issuers.{name}.{place}: client {client!r} is that of issuers.{of_users[client]} too, "
                    "and two issuers can give two users the same sub; give each issuer its own client"
                )
    for client in sorted(keyless - reached):
        yield f"clients.{client}.api_key is missing, and no issuer leads to it, so it could not mint"

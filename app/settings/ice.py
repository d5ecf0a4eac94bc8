"""The ICE servers in the settings: STUN and TURN servers that browsers may use for their calls."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, SecretStr, field_validator, model_validator

from app.providers.ice import is_ice_url, is_turn
from app.settings.base import Section

# The longest call, so that a server which checks a credential at each refresh ends none.
_LIFETIME_SECONDS: Final = 3600


class IceServerSettings(Section):
    """One STUN or TURN server, or several with the same credential."""

    urls: tuple[str, ...] = Field(
        min_length=1, description="stun:host:port, turn:host:port?transport=udp, turns:host:port"
    )
    username: str | None = Field(
        default=None, pattern=r"^[\x20-\x7e]{1,512}$", description="of a TURN server with a fixed credential"
    )
    credential: SecretStr | None = Field(
        default=None, description="its password; default: made with turn_secret"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_url(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"urls": (value,)}
        if isinstance(value, dict) and isinstance(value.get("urls"), str):
            return {**value, "urls": (value["urls"],)}
        return value

    @field_validator("urls")
    @classmethod
    def _of_servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, url in enumerate(value, start=1):
            if not is_ice_url(url):
                raise ValueError(
                    f"entry {number} is no URL of a STUN or TURN server; write stun:host:port, "
                    "turn:host:port, turn:host:port?transport=tcp or turns:host:port, without '//'"
                )
        return value

    @field_validator("credential")
    @classmethod
    def _in_one_line(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value().strip()
        if not text or not text.isascii() or not text.isprintable():
            raise ValueError("is empty, or contains a character that no password has")
        return SecretStr(text)

    @model_validator(mode="after")
    def _whole(self) -> IceServerSettings:
        if (self.username is None) != (self.credential is None):
            raise ValueError("username and credential need each other; with turn_secret leave both out")
        if self.credential is not None and not self.relays:
            raise ValueError("username and credential are for TURN servers; a STUN server takes none")
        return self

    @property
    def relays(self) -> bool:
        """Whether one of them is a TURN server."""
        return any(map(is_turn, self.urls))


def _or_a_url(schema: dict[str, Any]) -> None:
    """An entry may be its URL alone."""
    schema["items"] = {"anyOf": [{"type": "string"}, schema["items"]]}


class IceSettings(Section):
    """The servers that browsers may use, where the provider names none."""

    servers: tuple[IceServerSettings, ...] = Field(
        default=(), description="the servers, each a URL or a section", json_schema_extra=_or_a_url
    )
    turn_secret: SecretStr | None = Field(
        default=None,
        description="the secret that TURN servers without a credential share with this service (coturn: "
        "static-auth-secret), for short-lived credentials",
    )
    lifetime_seconds: int = Field(
        default=_LIFETIME_SECONDS, ge=60, le=86_400, description="how long such a credential lives"
    )
    link: bool = Field(
        default=True, description="name the servers in the answers to offers too, as Link headers"
    )

    @field_validator("turn_secret")
    @classmethod
    def _not_empty(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value().strip()
        if len(text) < 8:
            raise ValueError("it is too short to be a secret; make one: openssl rand -base64 32")
        return SecretStr(text)

    @model_validator(mode="after")
    def _usable(self) -> IceSettings:
        without = [server.urls[0] for server in self.servers if server.relays and server.credential is None]
        if without and self.turn_secret is None:
            raise ValueError(
                f"{without[0]} has no credential: set turn_secret, or username and credential of that server"
            )
        if self.turn_secret is not None and not without:
            raise ValueError(
                "turn_secret is set, and no server would use it; add a TURN server without a credential"
            )
        return self

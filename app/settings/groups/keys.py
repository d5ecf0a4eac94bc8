"""The rings of keys, and the keys of clients and operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator

from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.settings.secrets import MAKE_KEYS, check_api_key, parse_key_pairs


def _ring(parse: Callable[[str], object]) -> Callable[[str], object]:
    """``parse``, with the command that makes a sound ring in the message of its error."""

    def checked(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise ValueError(f"{error}; {MAKE_KEYS}") from None

    return checked


# What raises ``ValueError`` for a malformed or weak secret, by field.
_SECRET_FORMS: Final[Mapping[str, Callable[[str], object]]] = {
    "signing_keys": _ring(parse_signing_ring),
    "sealing_keys": _ring(parse_sealing_ring),
    "subject_key": check_api_key,
    "api_keys": parse_key_pairs,
    "admin_keys": parse_key_pairs,
}


class KeysSettings(BaseModel):
    """The rings of keys, and the keys of clients and operators."""

    signing_keys: SecretStr | None = Field(None, description="ring kid:secret,... that signs handles")
    sealing_keys: SecretStr | None = Field(None, description="ring kid:secret,... that seals keys in Redis")
    api_keys: SecretStr | None = Field(None, description="name:key pairs of the clients that may mint")
    admin_keys: SecretStr | None = Field(None, description="name:key pairs of the operators")
    subject_key: SecretStr | None = Field(
        None, description="hashes x-cloakroom-subject into OpenAI-Safety-Identifier; 32 random characters"
    )

    @field_validator(*_SECRET_FORMS)
    @classmethod
    def _sound_secret(cls, value: SecretStr | None, field: ValidationInfo) -> SecretStr | None:
        if value is not None:
            _SECRET_FORMS[str(field.field_name)](value.get_secret_value())
        return value

"""The reader of LiteLLM's file: every file is served or refused in words, and no word shows a credential."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from app.settings import SettingsError
from app.settings.litellm import is_litellm, read_litellm
from tests.fuzz.target import PLANTED, Target, without_secrets

_SAMPLES: Final = Path(__file__).resolve().parents[2] / "samples" / "litellm"
_ENVIRONMENT: Final = {
    "OPENAI_API_KEY": PLANTED,
    "AZURE_API_KEY": PLANTED,
    "AZURE_API_BASE": "https://acme.openai.azure.com",
    "SET": PLANTED,
}
# Where a credential belongs. One that is written elsewhere is a name, and names are shown.
_CREDENTIALS: Final = frozenset({"api_key", "client_secret", "master_key", "azure_ad_token"})


def check(data: bytes) -> None:
    """Any bytes, as YAML."""
    try:
        loaded = yaml.load(data, Loader=yaml.CSafeLoader)  # the safe loader's C form
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError, AttributeError):
        # PyYAML's own: dates that are none, keys that have no hash.
        return
    # A document that holds itself is the YAML reader's to refuse (app.settings.load).
    if not isinstance(loaded, dict) or not is_litellm(loaded) or _holds_itself(loaded, ()):
        return
    only_as_credential = all(PLANTED not in text for text in _other_texts(loaded))
    try:
        values, notes = read_litellm(loaded, _ENVIRONMENT)
    except SettingsError as error:
        assert str(error)
        if only_as_credential:
            without_secrets(error)
        return
    if only_as_credential:
        without_secrets(*notes)
    assert values["deployments"]
    assert values["models"]
    assert values.get("default_model") in {None, *values["models"]}
    for entry in values["models"].values():
        assert set(_deployments_of(entry)) <= values["deployments"].keys()


def _deployments_of(entry: Any) -> Iterator[str]:
    if isinstance(entry, dict):
        yield from (str(one["deployment"]) for one in entry["deployments"])
    else:
        yield from [entry] if isinstance(entry, str) else entry


def _holds_itself(value: Any, above: tuple[int, ...]) -> bool:
    if not isinstance(value, dict | list):
        return False
    # Deeper than any file that a person writes.
    if id(value) in above or len(above) > 60:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_holds_itself(one, (*above, id(value))) for one in inner)


def _other_texts(value: Any) -> Iterator[str]:
    """Every text of the document but the values of credentials."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            if key not in _CREDENTIALS or not isinstance(inner, str):
                yield from _other_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _other_texts(inner)
    else:
        yield str(value)


def _entry(model: str, **params: Any) -> bytes:
    one = {
        "model_name": "voice",
        "litellm_params": {"model": model, **params},
        "model_info": {"mode": "realtime"},
    }
    return yaml.safe_dump({"model_list": [one]}).encode()


TARGET: Final = Target(
    name="litellm",
    check=check,
    share=0.06,
    longest=2048,
    seeds=(
        *(path.read_bytes() for path in sorted(_SAMPLES.glob("*.yaml"))),
        _entry("openai/gpt-realtime", api_key=PLANTED),
        _entry("azure/voice", api_base="https://a.example", api_key="os.environ/SET", rpm=5, order=1),
        _entry("azure/voice", client_secret=PLANTED, tenant_id="t", client_id="c"),
        _entry("openai/*", weight="os.environ/NONE"),
        b"model_list: [&a {model_name: x, litellm_params: {model: azure/r}}, *a]\n",
        b"model_list: &a [*a]\n",
        b"general_settings: {master_key: " + PLANTED.encode() + b", database_url: x}\nmodel_list:\n",
        b"credential_list: [{credential_name: c, credential_values: {api_key: " + PLANTED.encode() + b"}}]\n"
        b"model_list: [{model_name: v, litellm_params: {model: openai/r, litellm_credential_name: c}}]\n",
        b"router_settings: {model_group_alias: {a: v, '*': v, b: {model: v}}}\n"
        b"model_list: [{model_name: v, litellm_params: {model: openai/gpt-realtime}}]\n",
        b"model_list: [{model_name: 2026-01-01, litellm_params: {model: .nan, 1: ~}, model_info: []}]\n",
        b"environment_variables: {X: os.environ/X, Y: 5}\nmodel_list: [{model_name: v, litellm_params: "
        b"{model: azure/r, api_base: os.environ/Y}, model_info: {id: d, cloakroom: {provider: qwen}}}]\n",
    ),
    words=(
        *(
            b"model_list:",
            b"model_name:",
            b"litellm_params:",
            b"model_info:",
            b"api_key:",
            b"api_base:",
            b"mode:",
        ),
        *(
            b"os.environ/",
            b"azure/",
            b"openai/",
            b"realtime",
            b"cloakroom:",
            b"credential_list:",
            b"rpm:",
            b"order:",
        ),
        *(
            b"client_secret:",
            b"master_key:",
            b"general_settings:",
            b"router_settings:",
            b"model_group_alias:",
        ),
    ),
)

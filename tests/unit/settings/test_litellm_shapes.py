"""LiteLLM's file is written by hand: any shape that YAML has may stand anywhere in it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.settings import SettingsError
from app.settings.litellm import read_litellm

NAMES = (
    "model_list model_name litellm_params model_info model api_key api_base mode cloakroom id order rpm x "
    "credential_list credential_values litellm_credential_name router_settings model_group_alias "
    "general_settings master_key environment_variables litellm_settings"
)
KEYS = st.sampled_from(NAMES.split())
LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.dates()
WORDS = st.sampled_from(
    [
        "azure/realtime",
        "openai/gpt-realtime",
        "openai/*",
        "realtime",
        "os.environ/SET",
        "os.environ/",
        "/",
        "",
        "a@b:]",
    ]
)
TREES = st.recursive(
    LEAVES | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.integers(), inner, max_size=5),
)
ENTRIES = st.fixed_dictionaries(
    {
        "model_name": WORDS,
        "litellm_params": st.dictionaries(KEYS, TREES).map(lambda params: {"model": "azure/r", **params}),
    },
    optional={"model_info": TREES, "x": TREES},
)
FILES = st.dictionaries(KEYS, TREES).flatmap(
    lambda rest: st.lists(ENTRIES | TREES, max_size=4).map(lambda entries: {**rest, "model_list": entries})
)


@given(FILES)
def test_no_shape_of_a_file_does_worse_than_be_refused(loaded: dict[str, Any]) -> None:
    environ = {"SET": "k", "AZURE_API_BASE": "https://a.example", "AZURE_API_KEY": "k", "OPENAI_API_KEY": "k"}
    try:
        values, _ = read_litellm(loaded, environ)
    except SettingsError:
        return
    assert values["deployments"]
    assert values.get("default_model") in {None, *values["models"]}

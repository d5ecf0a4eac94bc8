"""What becomes of ``every_form.yaml``: its deployments, its models, and the note on each of its parts."""

from __future__ import annotations

from typing import Any, Final

from tests.unit.settings.litellm_files import ENTRA_SECRET, INWORLD_KEY
from tests.unit.values import AZURE_KEY, OPENAI_KEY

OPENAI_EU: Final = {
    "provider": "openai",
    "base_url": "https://eu.api.openai.com/v1",
    "api_key": OPENAI_KEY,
}
DEPLOYMENTS: Final[dict[str, dict[str, Any]]] = {
    "openai-eu.api.openai.com-gpt-4o-realtime-preview-2024-12-17": {
        **OPENAI_EU,
        "model": "gpt-4o-realtime-preview-2024-12-17",
    },
    "azure-acme-east-voice-east": {
        "provider": "azure",
        "base_url": "https://acme-east.openai.azure.com/",
        "api_key": AZURE_KEY,
        "model": "voice-east",
    },
    "azure-acme-west-voice-west": {
        "provider": "azure",
        "base_url": "https://acme-west.openai.azure.com/openai/v1",
        "entra": {
            "kind": "client_secret",
            "tenant_id": "11111111-0000-0000-0000-000000000000",
            "client_id": "22222222-0000-0000-0000-000000000000",
            "client_secret": ENTRA_SECRET,
        },
        "model": "voice-west",
    },
    "openai-eu.api.openai.com-gpt-realtime-mini": {**OPENAI_EU, "model": "gpt-realtime-mini"},
    "inworld-eu": {
        "provider": "openai",
        "base_url": "https://api.inworld.example/v1",
        "api_key": INWORLD_KEY,
        "model": "inworld-voice",
    },
    "azure-acme-north-shared-realtime": {
        "provider": "azure",
        "base_url": "https://acme-north.cognitiveservices.azure.com/",
        "api_key": "north-key-0123456789abcdef",
        "model": "shared-realtime",
    },
    "azure-acme-pod-pod-realtime": {
        "provider": "azure",
        "base_url": "https://acme-pod.openai.azure.com",
        "entra": {"kind": "workload_identity", "client_id": "22222222-0000-0000-0000-000000000000"},
        "model": "pod-realtime",
    },
    "azure-gateway.example-tuned-realtime": {
        "provider": "azure",
        "base_url": "https://gateway.example",
        "api_key": AZURE_KEY,
        "model": "tuned-realtime",
    },
    "azure-eu-twin": {
        "provider": "azure",
        "base_url": "https://eu.openai.azure.com",
        "api_key": AZURE_KEY,
        "model": "twin",
    },
    "azure-us-twin": {
        "provider": "azure",
        "base_url": "https://us.openai.azure.com",
        "api_key": AZURE_KEY,
        "model": "twin",
    },
    "openai-eu.api.openai.com-gpt-realtime": {**OPENAI_EU, "model": "gpt-realtime"},
    "openai-eu.api.openai.com-gpt-realtime-2": {**OPENAI_EU, "model": "gpt-realtime"},
    "azure-acme-east-scribe-prod": {
        "provider": "azure",
        "base_url": "https://acme-east.openai.azure.com/",
        "api_key": AZURE_KEY,
        "model": "scribe-prod",
    },
    "openai-eu.api.openai.com-gpt-4o-mini-transcribe": {**OPENAI_EU, "model": "gpt-4o-mini-transcribe"},
    "azure-acme-east-gpt-4o": {
        "provider": "azure",
        "base_url": "https://acme-east.openai.azure.com/",
        "api_key": AZURE_KEY,
        "model": "gpt-4o",
    },
    "openai-voice.example-speaker": {
        "provider": "openai",
        "base_url": "https://voice.example/v1",
        "api_key": INWORLD_KEY,
        "model": "speaker",
    },
}

MODELS: Final[dict[str, Any]] = {
    "gpt-4o-realtime": "openai-eu.api.openai.com-gpt-4o-realtime-preview-2024-12-17",
    "voice": {
        "deployments": [
            {"deployment": "azure-acme-east-voice-east", "priority": 1, "weight": 60},
            {"deployment": "azure-acme-west-voice-west", "priority": 0, "weight": 30},
        ]
    },
    "bare": "openai-eu.api.openai.com-gpt-realtime-mini",
    "inworld-realtime": "inworld-eu",
    "shared": "azure-acme-north-shared-realtime",
    "pod": "azure-acme-pod-pod-realtime",
    "tuned": "azure-gateway.example-tuned-realtime",
    "realtime-eu": "azure-eu-twin",
    "realtime-us": "azure-us-twin",
    "realtime-a": "openai-eu.api.openai.com-gpt-realtime",
    "realtime-b": "openai-eu.api.openai.com-gpt-realtime-2",
    "scribe": "azure-acme-east-scribe-prod",
    "gpt-4o-mini-transcribe": "openai-eu.api.openai.com-gpt-4o-mini-transcribe",
    "assistant-prod": "azure-acme-east-gpt-4o",
    "own-server": "openai-voice.example-speaker",
}
UPSTREAM_FORMS: Final[dict[str, Any]] = {
    "openai/gpt-4o-realtime-preview-2024-12-17": MODELS["gpt-4o-realtime"],
    "azure/voice-east": "azure-acme-east-voice-east",
    "azure/voice-west": "azure-acme-west-voice-west",
    "gpt-realtime-mini": MODELS["bare"],
    "inworld-voice": MODELS["inworld-realtime"],
    "azure/shared-realtime": MODELS["shared"],
    "azure/pod-realtime": MODELS["pod"],
    "azure/tuned-realtime": MODELS["tuned"],
    "azure/scribe-prod": MODELS["scribe"],
    "openai/gpt-4o-mini-transcribe": MODELS["gpt-4o-mini-transcribe"],
    "azure/gpt-4o": MODELS["assistant-prod"],
    "openai/speaker": MODELS["own-server"],
    # Two names, one place: either serves.
    "openai/gpt-realtime": MODELS["realtime-a"],
}
GROUP_ALIASES: Final = {"assistant": MODELS["voice"], "hidden": MODELS["bare"]}

SAID: Final = "a realtime model"
BY_NAME: Final = "a realtime model by its name"
UNSAID: Final = "since nothing says that it is no realtime model; model_info.mode would say what it is"
SERVED: Final = [
    ("1 (gpt-4o-realtime)", SAID),
    ("2 (voice)", BY_NAME),
    ("3 (voice)", SAID),
    ("4 (bare)", BY_NAME),
    ("5 (inworld-realtime)", SAID),
    ("6 (shared)", BY_NAME),
    ("7 (pod)", BY_NAME),
    ("8 (tuned)", SAID),
    ("9 (realtime-eu)", BY_NAME),
    ("10 (realtime-us)", BY_NAME),
    ("11 (realtime-a)", BY_NAME),
    ("12 (realtime-b)", BY_NAME),
    ("20 (scribe)", "a transcription model"),
    ("21 (gpt-4o-mini-transcribe)", "a transcription model by its name"),
    ("23 (assistant-prod)", UNSAID),
    ("24 (own-server)", UNSAID),
]
LEFT_OUT_NOTES: Final = [
    (
        "info",
        "model_list entry 13 (gpt-4o)",
        "left out: its model gpt-4o is no realtime model; if it is one, set model_info.mode: realtime",
    ),
    ("info", "model_list entry 14 (embed)", "left out: its model_info.mode is embedding"),
    (
        "warning",
        "model_list entry 15 (grok-voice)",
        "left out: the provider 'xai' is not served; if it keeps OpenAI's realtime paths, "
        "write openai/MODEL with its api_base",
    ),
    (
        "info",
        "model_list entry 16 (claude)",
        "left out: the provider 'anthropic' is not served; if it keeps OpenAI's realtime paths, "
        "write openai/MODEL with its api_base",
    ),
    (
        "info",
        "model_list entry 17 (*)",
        "left out: it is a wildcard; give each realtime model an entry of its own",
    ),
    (
        "warning",
        "model_list entry 18 (openai/*)",
        "left out: it is a wildcard; give each realtime model an entry of its own",
    ),
    (
        "warning",
        "model_list entry 19 (token-realtime)",
        "left out: azure_ad_token is a token that ends within the hour, and nothing would renew it; "
        "set tenant_id, client_id and client_secret, or an api_key",
    ),
    (
        "warning",
        "model_list entry 22 (whisper)",
        "left out: api_key names the environment variable NOT_SET_ANYWHERE, which is not set",
    ),
    (
        "warning",
        "model_list entry 25 (chat-prod)",
        "left out: api_key names the environment variable NOT_SET_ANYWHERE, which is not set; "
        "correct it, or say with model_info.mode what it is",
    ),
    (
        "info",
        "model_list entry 26 (gpt-4o-azure)",
        "left out: its base_model azure/eu/gpt-4o-2024-11-20 is no realtime model; if it is one, "
        "set model_info.mode: realtime",
    ),
    (
        "info",
        "model_list entry 27 (reasoning)",
        "left out: o_series/ before its name is LiteLLM's route for text, not for a realtime model; "
        "if it is one, set model_info.mode: realtime",
    ),
    (
        "info",
        "model_list entry 28 (no-provider)",
        "left out: neither a provider nor 'realtime' stands in its name; "
        "if OpenAI has it, write openai/MODEL",
    ),
]
ENTRY_NOTES: Final = [
    (
        "info",
        "model_list entry 2 (voice)",
        "api_version is not used: Azure's GA surface takes none, and a date never chooses a surface; "
        "for a resource that has the preview only, set model_info.cloakroom: "
        "{provider: azure-preview, region: ...}",
    ),
    (
        "warning",
        "model_list entry 4 (bare)",
        "organization is not sent: use a key of a project of that organization",
    ),
    (
        "info",
        "model_list entry 4 (bare)",
        "not used: litellm_params.temperature, litellm_params.timeout",
    ),
    ("info", "model_list entry 5 (inworld-realtime)", "not used: model_info.input_cost_per_token"),
    (
        "info",
        "model_list entry 6 (shared)",
        "realtime_protocol is not used: it is about LiteLLM's WebSocket, not WebRTC",
    ),
    ("info", "model_list entry 7 (pod)", "not used: team"),
]
FILE_NOTES: Final = [
    (
        "warning",
        "azure/twin",
        "is no name of a model, since it is several things here; ask for one of: realtime-eu, realtime-us",
    ),
    (
        "info",
        "router_settings.model_group_alias",
        "'chat' is not taken: it leads to no model that is served here",
    ),
    ("info", "router_settings.model_group_alias", "'voice' is not taken: a model has that name"),
    (
        "info",
        "general_settings.master_key",
        "is the key of the client 'master', which may mint for every model and has no admin rights",
    ),
    (
        "info",
        "environment_variables",
        "only looked into for the variables that entries name with os.environ/",
    ),
    ("info", "litellm_settings", "not used: drop_params, success_callback"),
    ("info", "router_settings", "not used: routing_strategy"),
    ("info", "general_settings", "not used: database_url"),
    ("warning", "include", "is not followed: put the included model_list into this file"),
    ("info", "guardrails", "is not used"),
    (
        "warning",
        "general_settings.database_url",
        "LiteLLM's virtual keys do not work here: give each caller a name:key in CLOAKROOM_API_KEYS; "
        "run 'cloakroom keys new' to make one",
    ),
]

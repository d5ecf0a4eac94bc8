"""The names of a metered call's span are those of OpenTelemetry's conventions."""

from __future__ import annotations

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from app.providers.registry import PROVIDERS as OURS
from app.telemetry.usage import GEN_AI, PROVIDERS, span_attributes

# The conventions do not know these providers: they keep our names.
_UNNAMED = {"azure-voice-live", "inworld", "localai", "qwen", "speech-to-speech"}


def test_every_name_of_the_table_is_one_of_the_conventions_and_none_is_deprecated() -> None:
    known = {
        value
        for name, value in vars(gen_ai_attributes).items()
        if name.startswith("GEN_AI_") and isinstance(value, str)
    }
    assert set(GEN_AI.values()) <= known
    assert not {"gen_ai.system", "gen_ai.usage.prompt_tokens"} & set(GEN_AI.values())


def test_every_provider_that_has_a_name_there_is_called_by_it() -> None:
    known = {one.value for one in gen_ai_attributes.GenAiProviderNameValues}
    assert PROVIDERS.keys() == OURS.keys() - _UNNAMED
    assert set(PROVIDERS.values()) <= known


def test_a_span_names_no_user_and_has_every_figure() -> None:
    fields: dict[str, str | float] = {
        "v": 1,
        "call": "rtc_1",
        "subject": "user-7",
        "handle": "h",
        "relayed_at": 1,
        "gaps": 0,
    }
    assert span_attributes("azure", {**fields, "output_tokens": 7, "speech_seconds": 1.5}) == {
        "gen_ai.operation.name": "realtime",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.conversation.id": "rtc_1",
        "gen_ai.usage.output_tokens": 7,
        "cloakroom.handle.id": "h",
        "cloakroom.usage.gaps": 0,
        "cloakroom.usage.speech_seconds": 1.5,
    }

"""When OpenTelemetry's usual variables ask for spans, and what is said where that cannot be had."""

from __future__ import annotations

import pytest

from app.telemetry import tracing_setup
from app.telemetry.tracing_setup import obstacle, tracing_from_environment, wanted

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environ", "asked"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "voice"}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "false"}, True),
    ],
)
def test_spans_are_sent_where_an_endpoint_is_named_and_nothing_forbids_it(
    environ: dict[str, str], asked: bool
) -> None:
    assert wanted(environ) is asked


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (ENDPOINT, None),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, None),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "http/protobuf"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
    ],
)
def test_what_stands_in_the_way_is_said_with_what_mends_it(environ: dict[str, str], says: str | None) -> None:
    reason = obstacle(environ)
    assert reason is None if says is None else says in (reason or "")


def test_without_the_extra_the_service_starts_untraced_and_names_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracing_setup, "_NEEDED", ("no_such_package.at.all",))
    assert tracing_from_environment(ENDPOINT, replica="a") is None
    assert "pip install 'cloakroom[otel]'" in capsys.readouterr().out


def test_nobody_asked_means_no_tracing_and_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert tracing_from_environment({}, replica="a") is None
    assert capsys.readouterr().out == ""

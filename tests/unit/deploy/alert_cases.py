"""Recorded samples, one every 15 s, in promtool's notation: what fires each alert, and what fires none.

``0+9x80`` counts up by 9 eighty times; ``1x40`` stays at 1; ``_x40`` is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

JOB: Final = {"job": "cloakroom"}
_A, _B = 'job="cloakroom",instance="a"', 'job="cloakroom",instance="b"'
_B_LABELS: Final = {**JOB, "instance": "b"}
_OPENAI: Final = {**JOB, "deployment": "openai"}
_MODEL_END: Final = f'cloakroom_model_end_timestamp_seconds{{{_A},model="voice",deployment="openai"}}'
_LONG: Final = "x300"
_EVENTS: Final = "cloakroom_security_events_total"
_TAKES: Final = "cloakroom_pool_takes_total"
_DELIVERIES: Final = "cloakroom_security_webhook_deliveries_total"


@dataclass(frozen=True)
class Case:
    """Samples after which an alert fires.

    Args:
        at: minutes after the first sample.
        labels: of the firing alert, less its severity.
        value: ``$value`` as the annotations show it.
    """

    alert: str
    at: int
    series: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=lambda: JOB)
    value: str = ""


def _counts(name: str, **by_label: str) -> dict[str, str]:
    return {f"{name}{{{_A},{label}}}": values + _LONG for label, values in by_label.items()}


def _histogram(name: str, label: str, **cumulative: int) -> dict[str, str]:
    """``le_0_1=50``: so many more within a tenth of a second at each sample."""
    return {
        f'{name}_bucket{{{_A},{label},le="{le.removeprefix("le_").replace("_", ".")}"}}': f"0+{count}{_LONG}"
        for le, count in cumulative.items()
    } | {f'{name}_bucket{{{_A},{label},le="+Inf"}}': f"0+{max(cumulative.values())}{_LONG}"}


def _operations(name: str, **labels_and_rates: int) -> dict[str, str]:
    return {f"{name}{{{_A},{labels}}}": f"0+{rate}{_LONG}" for labels, rate in labels_and_rates.items()}


_OK = 'deployment="openai",outcome="ok",code="none"'
_REFUSED = 'deployment="openai",outcome="refused",code="invalid_request"'
_DOWN = 'deployment="none",outcome="unavailable",code="store_unavailable"'
_LATE = 'deployment="openai",outcome="provider_error",code="upstream_timeout"'

# Traffic with some of everything that is nobody's emergency: half of it callers' mistakes, 1 % failures.
HEALTHY: Final[Mapping[str, str]] = {
    f"up{{{_A}}}": "1" + _LONG,
    f"up{{{_B}}}": "1" + _LONG,
    f"process_start_time_seconds{{{_A}}}": "100x100 2000x200",
    f"process_resident_memory_bytes{{{_A}}}": "75000000" + _LONG,
    f"process_open_fds{{{_A}}}": "60" + _LONG,
    f"process_max_fds{{{_A}}}": "1024" + _LONG,
    f'cloakroom_build_info{{{_A},version="1"}}': "1x60 _x240",
    f'cloakroom_build_info{{{_B},version="2"}}': "_x50 1x250",
    **_operations("cloakroom_mints_total", **{_OK: 100, _REFUSED: 100, _DOWN: 2}),
    **_operations("cloakroom_relays_total", **{_OK: 200, _REFUSED: 200, _LATE: 2}),
    f'cloakroom_http_refusals_total{{{_A},code="internal_error"}}': "0" + _LONG,
    f'cloakroom_http_refusals_total{{{_A},code="overloaded"}}': "0" + _LONG,
    f'cloakroom_request_duration_seconds_count{{{_A},operation="mint",outcome="ok"}}': "0+9" + _LONG,
    f'cloakroom_security_events_total{{{_A},kind="wrong_origin"}}': "0" + _LONG,
    f'cloakroom_security_events_total{{{_A},kind="record_refused"}}': "0" + _LONG,
    # A receiver that is away now and then.
    f'cloakroom_security_webhook_deliveries_total{{{_A},result="unreachable"}}': "0+1" + _LONG,
    f'cloakroom_security_webhook_deliveries_total{{{_A},result="delivered"}}': "0+1" + _LONG,
    f'cloakroom_security_events_dropped_total{{{_A},reason="queue_full"}}': "0" + _LONG,
    f"cloakroom_store_up{{{_A}}}": "1" + _LONG,
    # One failed operation, and the probe after it.
    f"cloakroom_store_up{{{_B}}}": "1x100 0 1x199",
    **_histogram("cloakroom_store_duration_seconds", 'step="claim"', le_0_001=90, le_0_1=100),
    **_histogram("cloakroom_overhead_seconds", 'operation="mint"', le_0_001=90, le_0_1=100),
    **_histogram(
        "cloakroom_provider_duration_seconds", 'operation="relay",deployment="openai"', le_1_0=90, le_5_0=100
    ),
    f"cloakroom_settlements_pending{{{_A}}}": "0 3 " * 150,
    _MODEL_END: "8640000" + _LONG,
    f"cloakroom_settlements_given_up_total{{{_A}}}": "2" + _LONG,
    f"cloakroom_handles_alive{{{_A}}}": "20000" + _LONG,
    f'cloakroom_deployment_up{{{_A},deployment="openai"}}': "1" + _LONG,
    f'cloakroom_deployment_up{{{_B},deployment="openai"}}': "0" + _LONG,
    # Closed now and then; at one replica for long.
    f'cloakroom_deployment_closed{{{_A},deployment="openai"}}': "0x6 1 " * 40,
    f'cloakroom_deployment_closed{{{_B},deployment="openai"}}': "1" + _LONG,
    **_counts(
        "cloakroom_provider_tries_total",
        **{
            'deployment="openai",operation="mint",result="ok"': "0+90",
            'deployment="openai",operation="mint",result="refused"': "0+90",
            'deployment="openai",operation="mint",result="timeout"': "0+5",
            'deployment="openai",operation="mint",result="rate_limited"': "0+5",
        },
    ),
    **_operations(
        "cloakroom_call_reports_total", **{'outcome="connected"': 190, 'outcome="ice_timeout"': 10}
    ),
    # Fetched every ten minutes.
    f'cloakroom_issuer_keys_timestamp_seconds{{{_A},issuer="team"}}': "0+15" + _LONG,
    # A warm pool that bursts empty now and then, and one that is asked once a minute.
    **_counts(
        _TAKES,
        **{
            'model="voice",result="hit"': "0+6",
            'model="voice",result="empty"': "0+4",
            'model="voice",result="unsuited"': "0+20",
            'model="seldom",result="hit"': "0",
            'model="seldom",result="empty"': "0+0.25",
        },
    ),
    # Another job, whose few calls all fail: a page behind a firewall.
    'cloakroom_call_reports_total{job="few",outcome="ice_timeout"}': "0x40 1x40 2x220",
    f'cloakroom_claims_refused_total{{{_A},reason="expired"}}': "0+20" + _LONG,
    f'cloakroom_claims_refused_total{{{_A},reason="invalid"}}': "0+5" + _LONG,
    f"cloakroom_requests_in_flight{{{_A}}}": "500" + _LONG,
    f"cloakroom_requests_in_flight_limit{{{_A}}}": "1024" + _LONG,
}

CASES: Final = (
    Case("CloakroomDown", 3, {f"up{{{_A}}}": "0x40", f"up{{{_B}}}": "0x40"}, {}),
    Case("CloakroomDown", 3, {'up{job="another"}': "1x40"}, {}),
    Case("CloakroomReplicaDown", 5, {f"up{{{_A}}}": "1x40", f"up{{{_B}}}": "0x40"}, _B_LABELS),
    Case(
        "CloakroomRestarting", 12, {f"process_start_time_seconds{{{_B}}}": "1x8 2x8 3x8 4x40"}, _B_LABELS, "3"
    ),
    Case(
        "CloakroomMintsFail",
        15,
        _operations("cloakroom_mints_total", **{_OK: 9, _DOWN: 1}),
        value="10%",
    ),
    Case(
        "CloakroomRelaysFail",
        15,
        _operations("cloakroom_relays_total", **{_OK: 8, _LATE: 2}),
        value="20%",
    ),
    Case(
        "CloakroomDefect", 12, {f'cloakroom_http_refusals_total{{{_A},code="internal_error"}}': "0x30 1x40"}
    ),
    Case(
        "CloakroomDefect",
        12,
        {f'cloakroom_request_duration_seconds_count{{{_A},operation="mint",outcome="error"}}': "_x40 1x40"},
    ),
    Case("CloakroomStoreDown", 2, {f"cloakroom_store_up{{{one}}}": "1x3 0x40" for one in (_A, _B)}),
    Case(
        "CloakroomStoreUnreachable",
        4,
        {f"cloakroom_store_up{{{_A}}}": "1x40", f"cloakroom_store_up{{{_B}}}": "0x40"},
        _B_LABELS,
    ),
    Case(
        "CloakroomStoreSlow",
        20,
        _histogram("cloakroom_store_duration_seconds", 'step="claim"', le_0_1=50, le_0_25=100),
        value="247ms",
    ),
    Case("CloakroomSettlementsLate", 4, {f"cloakroom_settlements_pending{{{_B}}}": "2x40"}, _B_LABELS),
    Case("CloakroomSettlementsLost", 8, {f"cloakroom_settlements_given_up_total{{{_A}}}": "0x20 1x40"}),
    Case("CloakroomStoreFills", 8, {f"cloakroom_handles_alive{{{_A}}}": "50000x60"}, value="50000"),
    Case(
        "CloakroomDeploymentFails",
        15,
        _counts(
            "cloakroom_provider_tries_total",
            **{
                'deployment="openai",operation="mint",result="ok"': "0+6",
                'deployment="openai",operation="mint",result="timeout"': "0+4",
            },
        ),
        _OPENAI,
        "40%",
    ),
    Case(
        "CloakroomDeploymentDown",
        4,
        {f'cloakroom_deployment_up{{{one},deployment="openai"}}': "0x40" for one in (_A, _B)},
        _OPENAI,
    ),
    Case(
        "CloakroomDeploymentClosed",
        22,
        {f'cloakroom_deployment_closed{{{one},deployment="openai"}}': "1 1 0 1 " * 30 for one in (_A, _B)},
        _OPENAI,
    ),
    Case(
        "CloakroomCredentialRefused",
        5,
        _operations(
            "cloakroom_mints_total",
            **{'deployment="openai",outcome="provider_error",code="upstream_401"': 1},
        ),
        _OPENAI,
    ),
    Case(
        "CloakroomProviderLimits",
        20,
        _counts(
            "cloakroom_provider_tries_total",
            **{
                'deployment="openai",operation="mint",result="ok"': "0+9",
                'deployment="openai",operation="mint",result="rate_limited"': "0+1",
            },
        ),
        _OPENAI,
        "10%",
    ),
    Case(
        "CloakroomProviderSlow",
        20,
        _histogram(
            "cloakroom_provider_duration_seconds",
            'operation="relay",deployment="openai"',
            le_5_0=50,
            le_10_0=100,
        ),
        _OPENAI,
        "9.5s",
    ),
    Case(
        "CloakroomOutcomesUnknown",
        25,
        _operations("cloakroom_relays_total", **{_OK: 19, _LATE: 1}),
        value="5%",
    ),
    Case(
        "CloakroomHandlesRefused",
        25,
        {
            **_operations("cloakroom_relays_total", **{_OK: 8, _REFUSED: 2}),
            f'cloakroom_claims_refused_total{{{_A},reason="expired"}}': "0+2" + _LONG,
        },
        {**JOB, "reason": "expired"},
        "20%",
    ),
    Case(
        "CloakroomPoolMisses",
        32,
        _counts(
            _TAKES,
            **{
                'model="voice",result="hit"': "0+3",
                'model="voice",result="empty"': "0+5",
                'model="voice",result="failed"': "0+2",
                'model="voice",result="unsuited"': "0+90",
            },
        ),
        {**JOB, "model": "voice"},
        "70%",
    ),
    Case(
        "CloakroomModelEnds",
        20,
        # 50 days after the moment at which it is asked.
        {_MODEL_END: "4321200" + _LONG},
        {**_OPENAI, "model": "voice"},
        "50d 0h 0m 0s",
    ),
    Case(
        "CloakroomHandlesInvalid",
        12,
        {f'cloakroom_claims_refused_total{{{_A},reason="invalid"}}': "0+30" + _LONG},
        value="2",
    ),
    Case(
        "CloakroomCredentialsLimited",
        17,
        {f'cloakroom_credentials_refused_total{{{_A},answer="429"}}': "0+30" + _LONG},
        value="2",
    ),
    Case(
        "CloakroomClientLimited",
        22,
        _operations("cloakroom_mints_total", **{'outcome="refused",code="rate_limited"': 1}),
    ),
    Case(
        "CloakroomIssuerKeysOld",
        70,
        {
            f'cloakroom_issuer_keys_timestamp_seconds{{{_A},issuer="team"}}': "0+15" + _LONG,
            f'cloakroom_issuer_keys_timestamp_seconds{{{_B},issuer="team"}}': "0" + _LONG,
        },
        {**JOB, "issuer": "team"},
    ),
    Case(
        "CloakroomHandleSuspicious",
        3,
        _counts(_EVENTS, **{'kind="wrong_certificate"': "0x8 1", 'kind="wrong_origin"': "0"}),
        {**JOB, "kind": "wrong_certificate"},
    ),
    Case("CloakroomRecordRefused", 3, _counts(_EVENTS, **{'kind="record_refused"': "0x8 1"})),
    Case(
        "CloakroomSecurityWebhookFails",
        25,
        _counts(_DELIVERIES, **{'result="delivered"': "0+1x8 8", 'result="unreachable"': "0+1"}),
    ),
    Case(
        "CloakroomSecurityEventsDropped",
        3,
        _counts(
            "cloakroom_security_events_dropped_total",
            **{'reason="queue_full"': "0x8 3", 'reason="expired"': "0"},
        ),
        {**JOB, "reason": "queue_full"},
    ),
    Case(
        "CloakroomCallsFailAfterRelay",
        25,
        _operations("cloakroom_call_reports_total", **{'outcome="connected"': 8, 'outcome="ice_timeout"': 2}),
        value="20%",
    ),
    Case(
        "CloakroomOverloaded",
        4,
        {f'cloakroom_http_refusals_total{{{_A},code="overloaded"}}': "0+1" + _LONG},
    ),
    Case(
        "CloakroomNearlyFull",
        8,
        {
            f"cloakroom_requests_in_flight{{{_B}}}": "900x60",
            f"cloakroom_requests_in_flight_limit{{{_B}}}": "1000x60",
        },
        _B_LABELS,
        "90%",
    ),
    Case(
        "CloakroomSlowItself",
        20,
        _histogram("cloakroom_overhead_seconds", 'operation="mint"', le_0_1=50, le_0_25=100),
        value="247ms",
    ),
    Case(
        "CloakroomMemoryHigh",
        15,
        {f"process_resident_memory_bytes{{{_B}}}": "240000000x80"},
        _B_LABELS,
        "228.9Mi",
    ),
    Case(
        "CloakroomFilesRunOut",
        8,
        {f"process_open_fds{{{_B}}}": "900x60", f"process_max_fds{{{_B}}}": "1000x60"},
        _B_LABELS,
        "90%",
    ),
    Case(
        "CloakroomSecretsRefused",
        5,
        {f"cloakroom_secrets_reload_failed{{{_B}}}": "0x8 1x40"},
        _B_LABELS,
        "1",
    ),
    Case(
        "CloakroomVersionsDiffer",
        65,
        {
            f'cloakroom_build_info{{{_A},version="1"}}': "1" + _LONG,
            f'cloakroom_build_info{{{_B},version="2"}}': "1" + _LONG,
        },
        value="2",
    ),
)

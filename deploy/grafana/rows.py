"""The dashboard's rows: one call a panel, so that a query is easy to find and to change."""

from __future__ import annotations

from panels import (
    ASKED,
    HERE,
    POOLED,
    SERVED,
    durations,
    failures,
    figure,
    lines,
    mean,
    panel,
    quantile,
    rate,
    stack,
)

NOW = [
    figure(
        "Handles alive",
        "none",
        "In the store, of all replicas together.",
        f"max(cloakroom_handles_alive{{{HERE}}})",
    ),
    figure(
        "Calls alive",
        "none",
        "Relayed within the hour and not hung up through us.",
        f"max(cloakroom_calls_alive{{{HERE}}})",
    ),
    figure(
        "Replicas that answer",
        "none",
        "Prometheus reached them.",
        'sum(up{job=~"$job",instance=~"$instance"})',
        ("red", None),
        ("green", 1),
    ),
    figure(
        "Replicas with a store",
        "none",
        "Their breaker is closed.",
        f"sum(cloakroom_store_up{{{HERE}}})",
        ("red", None),
        ("green", 1),
    ),
    figure(
        "Mints that fail",
        "percentunit",
        "Not by their callers' fault.",
        failures("cloakroom_mints_total"),
        ("green", None),
        ("orange", 0.01),
        ("red", 0.05),
    ),
    figure(
        "Offers that fail",
        "percentunit",
        "Not by their callers' fault.",
        failures("cloakroom_relays_total"),
        ("green", None),
        ("orange", 0.01),
        ("red", 0.05),
    ),
    figure(
        "We add, p99",
        "s",
        "A request less its waits for provider, store and the caller.",
        quantile(0.99, "cloakroom_overhead_seconds"),
        ("green", None),
        ("orange", 0.025),
        ("red", 0.1),
    ),
    figure(
        "Fullest replica",
        "percentunit",
        "Requests at once, of those that it takes.",
        f"max(cloakroom_requests_in_flight{{{HERE}}} / cloakroom_requests_in_flight_limit{{{HERE}}})",
        ("green", None),
        ("orange", 0.5),
        ("red", 0.8),
    ),
]
TRAFFIC = [
    stack(
        "Mints",
        "reqps",
        "By outcome: refused is the caller's fault.",
        (rate("cloakroom_mints_total", "outcome", ASKED), "{{outcome}}"),
    ),
    stack(
        "Offers",
        "reqps",
        "By outcome: replayed is the first answer again.",
        (rate("cloakroom_relays_total", "outcome", ASKED), "{{outcome}}"),
    ),
    stack(
        "Hang-ups",
        "reqps",
        "By outcome: gone is a call that was over.",
        (rate("cloakroom_hangups_total", "outcome", ASKED), "{{outcome}}"),
    ),
    stack(
        "Calls that no browser holds",
        "reqps",
        "Their answer was not delivered or came too late, and what became of those due to be hung up.",
        (rate("cloakroom_calls_orphaned_total", "reason"), "{{reason}}"),
        (rate("cloakroom_overdue_hangups_total", "reason, outcome"), "{{reason}}: {{outcome}}"),
    ),
    stack(
        "Mints by model",
        "reqps",
        "The model that was asked for.",
        (rate("cloakroom_mints_total", "model", ASKED), "{{model}}"),
    ),
    stack(
        "Offers by deployment",
        "reqps",
        "Where the handle's key was minted.",
        (rate("cloakroom_relays_total", "deployment", ASKED), "{{deployment}}"),
    ),
    stack(
        "HTTP answers",
        "reqps",
        "Everything that was asked, health checks too.",
        (rate("cloakroom_http_responses_total", "handler, status"), "{{handler}} {{status}}"),
    ),
]
LATENCY = [
    lines("A mint takes", "s", "All of it, waits included; successes.", *durations("mint")),
    lines("An offer takes", "s", "All of it, waits included; successes.", *durations("relay")),
    lines(
        "Whose time it is, mean",
        "s",
        "Of one request to the provider, one step at the store, and what we add to a request.",
        (mean("cloakroom_provider_duration_seconds"), "provider"),
        (mean("cloakroom_store_duration_seconds"), "store"),
        (mean("cloakroom_overhead_seconds"), "ours"),
    ),
    lines(
        "We add, p99",
        "s",
        "A request less its waits for provider, store and the caller.",
        (quantile(0.99, "cloakroom_overhead_seconds", "operation"), "{{operation}}"),
    ),
    lines(
        "The provider takes, p95",
        "s",
        "One request to it, whatever came of it.",
        (
            quantile(0.95, "cloakroom_provider_duration_seconds", "deployment, operation", SERVED),
            "{{deployment}} {{operation}}",
        ),
    ),
    lines(
        "The store takes, p99",
        "s",
        "One step at it, failed ones too.",
        (quantile(0.99, "cloakroom_store_duration_seconds", "step"), "{{step}}"),
    ),
]
NO_SUCCESS = f'{ASKED},code!="none"'
UNCONNECTED = f'{ASKED},outcome!="connected"'
ERRORS = [
    stack(
        "Mints by code",
        "reqps",
        "docs/runbook.md has a page for each.",
        (rate("cloakroom_mints_total", "code", NO_SUCCESS), "{{code}}"),
    ),
    stack(
        "Offers by code",
        "reqps",
        "docs/runbook.md has a page for each.",
        (rate("cloakroom_relays_total", "code", NO_SUCCESS), "{{code}}"),
    ),
    stack(
        "Handles refused",
        "reqps",
        "Offers that their handle did not open a call for, by reason.",
        (rate("cloakroom_claims_refused_total", "reason"), "{{reason}}"),
    ),
    stack(
        "Refused before that",
        "reqps",
        "Errors of what never became a mint, relay or hang-up.",
        (rate("cloakroom_http_refusals_total", "code"), "{{code}}"),
    ),
    stack(
        "Calls after their relay",
        "reqps",
        "What their pages reported: connected, or how it failed. Pages without cloakroom.js report nothing.",
        (rate("cloakroom_call_reports_total", "outcome", ASKED), "{{outcome}}"),
    ),
    lines(
        "Calls that fail after their relay",
        "percentunit",
        "Of those that were reported, by deployment: one alone points to its provider, all to the networks.",
        (
            # No series of failures is no failure.
            f"({rate('cloakroom_call_reports_total', 'deployment', UNCONNECTED)}"
            f" or 0 * {rate('cloakroom_call_reports_total', 'deployment', ASKED)})"
            f" / {rate('cloakroom_call_reports_total', 'deployment', ASKED)}",
            "{{deployment}}",
        ),
    ),
]
PROVIDER = [
    stack(
        "Requests to providers",
        "reqps",
        "A retry or a failover is one more.",
        (rate("cloakroom_provider_tries_total", "deployment, result", SERVED), "{{deployment}} {{result}}"),
    ),
    lines(
        "Deployments that answer",
        "none",
        "Replicas whose last request to it was answered, with a refusal too.",
        (f"sum by (deployment) (cloakroom_deployment_up{{{SERVED}}})", "{{deployment}}"),
    ),
    lines(
        "Deployments that are closed to mints",
        "none",
        "Replicas whose mints do not ask it: its breaker is open, or it sent Retry-After.",
        (f"sum by (deployment) (cloakroom_deployment_closed{{{SERVED}}})", "{{deployment}}"),
    ),
    lines(
        "Deployments that cool",
        "none",
        "Replicas that try it last, since it just failed.",
        (f"sum by (deployment) (cloakroom_deployment_cooling{{{SERVED}}})", "{{deployment}}"),
    ),
    lines(
        "Models that end",
        "s",
        "Time until a model's provider stops to serve it; only where no successor takes over before.",
        (
            f"min by (model, deployment) (cloakroom_model_end_timestamp_seconds{{{SERVED}}}) - time()",
            "{{model}} at {{deployment}}",
        ),
    ),
]
POOLS = [
    stack(
        "Mints from a warm pool",
        "reqps",
        "hit: it had a key. empty, failed: they waited for the provider. unsuited: they never use it.",
        (rate("cloakroom_pool_takes_total", "result", POOLED), "{{result}}"),
    ),
    lines(
        "Stock of warm pools",
        "none",
        "Keys in stock, and how many the demand asks for.",
        (f"max by (model) (cloakroom_pool_stock{{{POOLED}}})", "{{model}}"),
        (f"max by (model) (cloakroom_pool_goal{{{POOLED}}})", "{{model}}: goal"),
    ),
    lines(
        "Keys of warm pools",
        "ops",
        "Minted ahead, handed out, thrown away too old, and lost.",
        (rate("cloakroom_pool_keys_total", "model, outcome", POOLED), "{{model}}: {{outcome}}"),
    ),
]
STORE = [
    lines(
        "Handles and calls alive",
        "none",
        "In the store, of all replicas together.",
        (f"max(cloakroom_handles_alive{{{HERE}}})", "handles"),
        (f"max(cloakroom_calls_alive{{{HERE}}})", "calls"),
    ),
    lines(
        "Store, as each replica sees it",
        "none",
        "1: there; 0: its breaker is open and requests get 503.",
        (f"cloakroom_store_up{{{HERE}}}", "{{instance}}"),
        defaults={"max": 1},
    ),
    lines(
        "Nodes of the store",
        "none",
        "How many replicas think that the node is there; 0: nobody reaches it.",
        (f"sum by (node) (cloakroom_store_node_up{{{HERE}}})", "{{node}}"),
    ),
    stack(
        "Steps at the store",
        "ops",
        "Each is one round trip.",
        (rate("cloakroom_store_duration_seconds_count", "step"), "{{step}}"),
    ),
    lines(
        "Records that follow late",
        "none",
        "Answers of the provider that the store has not taken yet, and those given up in a minute.",
        (f"sum by (instance) (cloakroom_settlements_pending{{{HERE}}})", "{{instance}} late"),
        (
            f"sum by (instance) (increase(cloakroom_settlements_given_up_total{{{HERE}}}[1m]))",
            "{{instance}} given up",
        ),
    ),
]
SIDEBANDS = [
    lines(
        "Sidebands open, calls held",
        "none",
        "Backends that are in a call, and calls that end with their replica (azure-voice-live).",
        (f"cloakroom_sidebands_open{{{HERE}}}", "{{instance}}"),
        (f"cloakroom_held_calls{{{HERE}}}", "{{instance}} held"),
    ),
    stack(
        "Sidebands closed, and not opened",
        "reqps",
        "Why they ended: over is a call that is over. And the code of those that were refused.",
        (rate("cloakroom_sidebands_closed_total", "reason"), "{{reason}}"),
        (rate("cloakroom_sidebands_refused_total", "code"), "refused: {{code}}"),
    ),
    stack(
        "Events on sidebands",
        "ops",
        "By who sent them; audio is held back.",
        (rate("cloakroom_sideband_events_total", "source"), "{{source}}"),
        (rate("cloakroom_sideband_audio_events_total", "source"), "{{source}}: audio"),
    ),
]
ISSUERS = [
    stack(
        "Tokens of identity providers",
        "reqps",
        "Sign-ins and exchanges by verdict; accepted, or why not.",
        (rate("cloakroom_issuer_tokens_total", "issuer, verdict"), "{{issuer}}: {{verdict}}"),
    ),
    lines(
        "Age of identity providers' keys",
        "s",
        "They are fetched every ten minutes. Keys older than a day are not used.",
        (
            f"time() - min by (issuer) (cloakroom_issuer_keys_timestamp_seconds{{{HERE}}} > 0)",
            "{{issuer}}",
        ),
    ),
    stack(
        "Fetches of identity providers' keys",
        "ops",
        "More than one in ten minutes: tokens name keys that are not known.",
        (rate("cloakroom_issuer_key_fetches_total", "issuer, result"), "{{issuer}}: {{result}}"),
    ),
]
SECURITY = [
    stack(
        "Security events",
        "none",
        "Handles that came from elsewhere, and records that were refused, in five minutes.",
        (f"sum by (kind) (increase(cloakroom_security_events_total{{{HERE}}}[5m]))", "{{kind}}"),
    ),
    stack(
        "Security webhook",
        "ops",
        "Messages by what the receiver made of them; a retry is one more.",
        (rate("cloakroom_security_webhook_deliveries_total", "result"), "{{result}}"),
    ),
    stack(
        "Security events dropped",
        "none",
        "That will not reach the webhook, in five minutes, by why.",
        (f"sum by (reason) (increase(cloakroom_security_events_dropped_total{{{HERE}}}[5m]))", "{{reason}}"),
    ),
]
USAGE = [
    lines(
        "Calls watched for metering",
        "none",
        "A replica at its CLOAKROOM_METERING_MAX leaves further calls to others.",
        (f"cloakroom_metering_watched_calls{{{HERE}}}", "{{instance}}"),
    ),
    stack(
        "Tokens of metered calls",
        "ops",
        "By kind; each token has one.",
        (rate("cloakroom_usage_tokens_total", "kind"), "{{kind}}"),
    ),
    stack(
        "Usage records, and seconds of calls",
        "ops",
        "Incomplete: a call had no watcher for some time. Not attachable: see call_key.",
        (rate("cloakroom_usage_records_total", "metered"), "{{metered}}"),
        (rate("cloakroom_usage_call_seconds_total", "model"), "{{model}}: seconds"),
        (rate("cloakroom_usage_live_seconds_total", "model"), "{{model}}: Live seconds"),
    ),
]
REPLICAS = [
    lines(
        "Requests in flight",
        "none",
        "And how many a replica takes.",
        (f"cloakroom_requests_in_flight{{{HERE}}}", "{{instance}}"),
        (f"min(cloakroom_requests_in_flight_limit{{{HERE}}})", "limit"),
    ),
    lines(
        "Turns of the event loop",
        "s",
        "A request needs several. Long turns mean too little CPU.",
        (f"cloakroom_loop_turn_seconds{{{HERE}}}", "{{instance}} {{worker}}"),
    ),
    lines(
        "Shedding load",
        "none",
        "1 while a replica refuses requests because it has more work than time.",
        (f"cloakroom_shedding{{{HERE}}}", "{{instance}} {{worker}}"),
        defaults={"max": 1},
    ),
    lines(
        "Draining",
        "none",
        "1 once a replica is shutting down.",
        (f"cloakroom_draining{{{HERE}}}", "{{instance}}"),
        defaults={"max": 1},
    ),
    lines(
        "CPU",
        "percentunit",
        "Of one core; a replica uses one, or each of its workers does.",
        (f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])", "{{instance}} {{worker}}"),
    ),
    lines(
        "Memory",
        "bytes",
        "Resident.",
        (f"process_resident_memory_bytes{{{HERE}}}", "{{instance}} {{worker}}"),
    ),
    lines(
        "Open files",
        "none",
        "Connections are files.",
        (f"process_open_fds{{{HERE}}}", "{{instance}} {{worker}}"),
        (f"min(process_max_fds{{{HERE}}})", "limit"),
    ),
    lines(
        "Tasks",
        "none",
        "Of the event loop; one for each open connection. At rest they are as many as before.",
        (f"cloakroom_tasks{{{HERE}}}", "{{instance}}"),
    ),
    lines(
        "Garbage collections",
        "ops",
        "Of Python, by generation.",
        (rate("python_gc_collections_total", "generation"), "generation {{generation}}"),
    ),
    lines(
        "Up since",
        "s",
        "Seconds since the process began.",
        (f"time() - process_start_time_seconds{{{HERE}}}", "{{instance}} {{worker}}"),
    ),
    lines(
        "Workers",
        "none",
        "Of replicas that have several: how many serve, and those that ended unasked.",
        (f"sum by (instance) (cloakroom_worker_up{{{HERE}}})", "{{instance}} serve"),
        (
            f"increase(cloakroom_worker_restarts_total{{{HERE}}}[$__rate_interval])",
            "{{instance}} {{worker}} ended",
        ),
    ),
    lines(
        "Secrets refused",
        "none",
        "1 while the secrets in a replica's files cannot be used, so that the old ones serve on.",
        (f"cloakroom_secrets_reload_failed{{{HERE}}}", "{{instance}}"),
        defaults={"max": 1},
    ),
    lines(
        "Secrets taken",
        "s",
        "Seconds since they were last read and taken; the start counts.",
        (f"time() - cloakroom_secrets_reload_timestamp_seconds{{{HERE}}}", "{{instance}}"),
    ),
    lines(
        "Secrets read anew",
        "none",
        "On SIGHUP and when a file changed, by result.",
        (f"sum by (result) (cloakroom_secrets_reloads_total{{{HERE}}})", "{{result}}"),
    ),
    panel(
        "table",
        "What runs",
        "none",
        "Version and Python of each replica.",
        (f"cloakroom_build_info{{{HERE}}}", ""),
        transformations=[
            {"id": "labelsToFields"},
            {"id": "organize", "options": {"excludeByName": {"Time": True, "__name__": True, "Value": True}}},
        ],
    ),
]
PROTECTION = [
    stack(
        "Credentials refused",
        "reqps",
        "Keys, tokens and handles of no value; 429: their address had sent too many.",
        (rate("cloakroom_credentials_refused_total", "answer"), "{{answer}}"),
    ),
    stack(
        "Connections cut",
        "cps",
        "head, unread: too slow. address: its peer has too many. room: the port is full.",
        (rate("cloakroom_connections_cut_total", "reason"), "{{reason}}"),
    ),
    stack(
        "Fair shares",
        "reqps",
        "While a replica was full or shed load: served within their client's share, or refused.",
        (rate("cloakroom_fair_share_total", "verdict"), "{{verdict}}"),
    ),
]
ROWS = (
    ("Now", NOW, 3, 4),
    ("Traffic", TRAFFIC, 8, 8),
    ("Where the time goes", LATENCY, 8, 8),
    ("Errors, by code", ERRORS, 6, 8),
    ("Providers", PROVIDER, 6, 8),
    ("Warm pools", POOLS, 8, 8),
    ("Protection", PROTECTION, 8, 8),
    ("Sidebands", SIDEBANDS, 8, 8),
    ("Identity providers", ISSUERS, 8, 8),
    ("Security", SECURITY, 8, 8),
    ("Usage", USAGE, 8, 8),
    ("Store", STORE, 6, 8),
    ("Replicas", REPLICAS, 6, 8),
)

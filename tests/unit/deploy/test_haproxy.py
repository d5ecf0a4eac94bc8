"""The load balancer's configuration against the settings, the errors and the compose file.

What HAProxy makes of it is shown by ``deploy/drills/load_balancer.py``, which needs the program.
"""

from __future__ import annotations

import re
from typing import Any

import annotated_types
import pytest

from app import errors
from app.settings import Settings
from tests.support.compose import REPLICAS, interpolate, seconds, services
from tests.unit.deploy.haproxy import FOLDER, after, duration, first, own_answers, read_haproxy

POOLS = ("backend ready", "backend live")


def default_of(name: str) -> Any:
    return Settings.model_fields[name].default


@pytest.mark.parametrize("pool", POOLS)
def test_every_replica_is_in_every_pool(pool: str) -> None:
    servers = [words[1:3] for words in read_haproxy()[pool] if words[0] == "server"]
    ports = {name: services()[name]["environment"]["CLOAKROOM_PORT"] for name in REPLICAS}
    assert servers == [[name, f"{name}:{port}"] for name, port in ports.items()]


def test_readiness_decides_who_gets_requests_and_liveness_who_explains_an_outage() -> None:
    asked = {pool: after(first(read_haproxy()[pool], "http-check", "send"), "uri") for pool in POOLS}
    assert asked == {"backend ready": "/readyz", "backend live": "/livez"}
    public = read_haproxy()["frontend public"]
    assert first(public, "use_backend", "live") == ["if", "{", "nbsrv(ready)", "eq", "0", "}"]
    assert first(public, "default_backend") == ["ready"]


def test_the_replicas_trust_it_and_it_appends_its_caller_to_what_a_proxy_of_ours_wrote() -> None:
    public = read_haproxy()["frontend public"]
    assert first(public, "option", "forwardfor") == []
    for name in ("x-forwarded-for", "forwarded"):
        assert first(public, "http-request", "del-header", name) == ["unless", "from_our_proxy"]
    for replica in REPLICAS:
        trusted = services()[replica]["environment"]["CLOAKROOM_TRUSTED_PROXIES"]
        assert interpolate(trusted, {}) == "1"
        # A TLS proxy of ours in front of it is one more.
        assert interpolate(trusted, {"CLOAKROOM_TRUSTED_PROXIES": "2"}) == "2"


def test_a_drain_is_noticed_before_it_is_over() -> None:
    pool = read_haproxy()["backend ready"]
    server = first(pool, "default-server")
    checks = int(after(server, "fall"))
    until_noticed = duration(after(server, "inter")) + (checks - 1) * duration(after(server, "fastinter"))
    drain = float(services()[REPLICAS[0]]["environment"]["CLOAKROOM_DRAIN_SECONDS"])
    assert until_noticed + duration(first(pool, "timeout", "check")[0]) < drain


def test_it_waits_longer_than_the_slowest_request_that_the_service_allows() -> None:
    names = (
        "body_timeout_seconds",
        "store_timeout_seconds",
        "connect_timeout_seconds",
        "relay_timeout_seconds",
    )
    slowest = sum(default_of(name) for name in names) + default_of("store_timeout_seconds")
    defaults = read_haproxy()["defaults"]
    assert duration(first(defaults, "timeout", "server")[0]) > slowest
    assert duration(first(defaults, "timeout", "client")[0]) > default_of("body_timeout_seconds")


def test_its_own_stop_lets_the_slowest_request_finish() -> None:
    configured = read_haproxy()
    hard_stop = duration(first(configured["global"], "hard-stop-after")[0])
    assert hard_stop > duration(first(configured["defaults"], "timeout", "server")[0])
    assert seconds(services()["load-balancer"]["stop_grace_period"]) > hard_stop


def test_nothing_is_sent_a_second_time_once_it_may_have_arrived() -> None:
    configured = read_haproxy()
    assert first(configured["defaults"], "retry-on") == ["conn-failure"]
    first(configured["defaults"], "option", "http-server-close")
    for name, section in configured.items():
        retries = [words for words in section if words[0] == "retry-on" or "do-l7-retry" in words]
        assert not retries or name == "defaults"


def test_its_roof_over_bodies_is_above_every_limit_that_the_service_may_have() -> None:
    metadata = Settings.model_fields["max_body_bytes"].metadata
    largest = next(item.le for item in metadata if isinstance(item, annotated_types.Le))
    rule = first(read_haproxy()["frontend public"], "http-request", "deny", "deny_status", "413")
    assert int(after(rule, "gt")) == largest


def test_its_own_errors_are_errors_of_the_service() -> None:
    tree: list[type[errors.CloakroomError]] = [errors.CloakroomError]
    for kind in tree:
        tree.extend(kind.__subclasses__())
    known = {(kind.code, kind.type): kind.status for kind in tree}
    answers = own_answers()
    assert answers.keys() >= {400, 404, 408, 413, 500, 502, 503, 504}
    for status, error in answers.items():
        assert error.keys() == {"message", "type", "param", "code"}
        # No class of ours is a 408: a browser that takes too long has made a bad request.
        expected = 400 if status == 408 else status
        assert known[error["code"], error["type"]] == expected, status


def test_a_request_that_may_have_arrived_is_never_called_retryable() -> None:
    answers = own_answers()
    assert answers[502]["code"] == errors.OutcomeUnknown.code
    assert answers[503]["code"] == errors.Overloaded.code


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.http")), ids=lambda page: page.name)
def test_an_error_page_says_its_own_length(page: Any) -> None:
    head, _, body = page.read_bytes().partition(b"\n\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length
    assert int(length[1]) == len(body)
    assert head.startswith(f"HTTP/1.1 {page.stem} ".encode())


def test_no_header_or_query_string_can_reach_its_log() -> None:
    for section in read_haproxy().values():
        for words in section:
            assert "capture" not in words
            assert words[:2] not in (["option", "httplog"], ["stats", "socket"])
    log_format = first(read_haproxy()["frontend public"], "log-format")[0]
    # What can carry them: captured headers, the request line, the URI with its query.
    assert not re.search(r"%(\{[^}]*\})?(hr|hrl|hs|hsl|r|HU|HQ|HP)\b", log_format)
    assert "hdr" not in log_format


def test_its_metrics_stay_inside() -> None:
    assert first(read_haproxy()["frontend operations"], "bind") == [":8404"]
    assert not any("8404" in port for port in services()["load-balancer"]["ports"])

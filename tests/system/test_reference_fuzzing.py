"""schemathesis along the reference, with all of its checks, against a replica as an operator starts it."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from app.web.reference.document import Document, load_document, operations
from tests.support.api import called, post
from tests.support.handles import claims_of
from tests.support.issuer import issuers
from tests.support.live import MODEL, config_file
from tests.support.processes import ROOT
from tests.support.stack import Stack

# Their one answer is a 501.
ALWAYS_REFUSED: Final = {"PATCH /v1/realtime/calls/{call_id}", "PATCH /v1/live/sessions/{call_id}"}
CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
HOOKS: Final = "tests.support.schemathesis_hooks"
# Seconds: it takes 10 to 15 on two cores, and a busy machine gets thirty times as many.
SECONDS: Final = 450
REFERENCE: Final = load_document(None)
RULES: Final = [{"subject": "backend", "client": "shop"}]
# A stream has no end to wait for; tests/web/test_admin_events.py holds it to the reference.
ENDLESS: Final = "/admin/v1/events"
# WebSockets, which are no answer that their client can read; tests/web/test_sideband.py has their refusals.
ATTACH: Final = {"GET /v1/realtime", "GET /v1/live/sessions/{call_id}/attach"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # The default model lets mints succeed that name none, as many generated ones do.
    config = config_file(tmp_path_factory.mktemp("live"))
    with Stack(
        peer="static",
        CLOAKROOM_CONFIG=config,
        CLOAKROOM_DEFAULT_MODEL="gpt-realtime-2.1",
        CLOAKROOM_ISSUERS=issuers(exchange=RULES),
        # Most of its credentials are made up, and it wants the 401 of each.
        CLOAKROOM_REFUSED_CREDENTIALS_PER_MINUTE="0",
    ) as running:
        yield running


def schemathesis(
    stack: Stack, folder: Path, reference: Document, *options: str, **environment: str
) -> tuple[str, dict[str, Any]]:
    """Run it once in this folder; return what it printed and its report."""
    # From a file: an address of ours would be taken for the document's own, and not be tested.
    document, report = folder / "reference.json", folder / "report.json"
    document.write_text(json.dumps(reference))
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    always = [f"--url={stack.a.url}", "--checks=all", f"--report-json-path={report}"]
    run = subprocess.run(
        [*command, f"--config-file={CONFIG}", "run", str(document), *always, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": HOOKS, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert report.exists(), run.stdout + run.stderr
    return run.stdout, json.loads(report.read_text())


async def handle(http: aiohttp.ClientSession, stack: Stack, kind: str, model: str) -> str:
    url = f"{stack.a.url}/v1/realtime/{kind}client_secrets"
    reply = await post(http, url, json={"session": {"model": model}}, headers=stack.mint_headers)
    assert reply.status == 200, reply
    return str(reply.json["value"])


def token(stack: Stack, subject: str) -> str:
    """A token of the identity provider that lives longer than the run."""
    claims = {"sub": subject, "exp": int(time.time()) + 2 * SECONDS}
    return str(stack.sandbox.control("POST", "issuer/tokens", {"claims": claims})["token"])


def linked(reference: Document, workload_token: str) -> Document:
    """The document with links from each relay to the hang-up of its call, and a token that is exchanged.

    The links are no part of what is published: OpenAPI's expressions cannot take the id out of ``Location``,
    and the ``#regex:`` that does is schemathesis's own.
    """
    document = copy.deepcopy(dict(reference))
    for operation in ("/v1/realtime/calls", "/v1/realtime/translations/calls", "/v1/realtime"):
        document["paths"][operation]["post"]["responses"]["201"]["links"] = {
            "hangUp": {
                "operationId": "hangUp",
                "parameters": {"call_id": "$response.header.Location#regex:/calls/([A-Za-z0-9_-]+)$"},
            }
        }
    (exchange,) = document["paths"]["/oauth/token"]["post"]["requestBody"]["content"].values()
    exchange["example"]["subject_token"] = workload_token
    return document


@pytest.mark.timeout(2 * SECONDS)
async def test_schemathesis_finds_nothing_at_any_operation(
    http: aiohttp.ClientSession, stack: Stack, tmp_path: Path
) -> None:
    realtime = await handle(http, stack, "", "gpt-realtime-2.1")
    workload = token(stack, "backend")
    printed, report = schemathesis(
        stack,
        tmp_path,
        linked(REFERENCE, workload),
        f"--exclude-path={ENDLESS}",
        "--exclude-operation-id=attach",
        "--exclude-operation-id=attachLive",
        ADMIN_KEY=stack.planted.admin_key,
        # Not the one that opens calls in this run, since it gets revoked.
        HANDLE_ID=claims_of(await handle(http, stack, "", "gpt-realtime-2.1"))["jti"],
        CLIENT_KEY=stack.planted.client_key,
        USER_TOKEN=token(stack, "ada"),
        WORKLOAD_TOKEN=workload,
        HANDLE=realtime,
        CALL_ID=await called(http, stack.b.url, realtime),
        TRANSLATION_HANDLE=await handle(http, stack, "translations/", "gpt-realtime-translate"),
        LIVE_HANDLE=await handle(http, stack, "", MODEL),
    )
    assert (report["exit_code"], report["failures"], report["errors"]) == (0, [], []), printed
    assert stack.a.events("request_failed") == []
    # And it did look: every operation, in every phase, with answers that were no refusals.
    documented = {f"{method.upper()} {path}" for path, method, _ in operations(REFERENCE) if path != ENDLESS}
    documented -= ATTACH
    assert report["complete"]
    assert report["operations"]["tested"] == len(documented)
    assert report["test_cases"]["generated"] > 500
    assert {phase["status"] for phase in report["phases"].values()} == {"success"}
    assert report["phases"].keys() == {"examples", "coverage", "fuzzing", "stateful"}
    accepted = {
        name for name, phases in report["valid_rates"].items() if phases.get("fuzzing", {}).get("accepted")
    }
    assert accepted == documented - ALWAYS_REFUSED, printed
    # The stateful phase hung up calls that it had relayed itself; the others know of one call only.
    ended = [event for event in stack.a.events("hangup") if event.get("outcome") == "ended"]
    assert len({event["call_id"] for event in ended}) > 1


@pytest.mark.timeout(2 * SECONDS)
def test_schemathesis_finds_a_service_that_is_not_as_documented(stack: Stack, tmp_path: Path) -> None:
    """The control: a field is documented that the answer does not have, and the run is red."""
    broken = copy.deepcopy(dict(REFERENCE))
    content = broken["paths"]["/livez"]["get"]["responses"]["200"]["content"]["application/json"]
    content["schema"]["required"].append("uptime")
    names = ("CLIENT_KEY", "USER_TOKEN", "HANDLE", "TRANSLATION_HANDLE", "LIVE_HANDLE", "ADMIN_KEY")
    keys = dict.fromkeys(names, "none")
    printed, report = schemathesis(stack, tmp_path, broken, "--include-path=/livez", **keys)
    assert report["exit_code"] == 1, printed
    assert [failure["operations"] for failure in report["failures"]] == [["GET /livez"]], printed

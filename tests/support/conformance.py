"""Holds answers to the reference: status, content type, headers and body of each, by the document itself."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import web
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from app.web.reference.document import Document, load_document, resolve
from tests.support.spellings import documented_path

# Served, but no part of the public surface: the demo page in development.
OUTSIDE: Final = re.compile(r"/(demo(/.*)?)?\Z")
STREAM: Final = "text/event-stream"
_URN: Final = "urn:cloakroom:reference"
_PREFLIGHT: Final = "Access-Control-Request-Method"
# What HTTP itself or CORS puts on any answer; all else must be in the document.
_TRANSPORT: Final = re.compile(
    r"(?:date|server|connection|content-(?:length|type|encoding)|transfer-encoding|keep-alive"
    r"|access-control-[a-z-]+|referrer-policy|x-frame-options)\Z"
)
# The provider's rate-limit headers have names of the provider's choice.
_RATE_LIMIT: Final = re.compile(r"x-ratelimit-[a-z0-9_.-]+\Z")
_ERROR: Final = "#/components/schemas/Error"
# What the gate may answer in front of every path, and what routing does where no operation is.
_ANYWHERE: Final = {
    403: "origin_not_allowed",
    421: "host_not_allowed",
    503: "overloaded",
    500: "internal_error",
}


@dataclass(frozen=True)
class Exchange:
    """One request and its answer. ``headers`` are case-insensitive by lower-case names."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    preflight: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path} -> {self.status} {self.body[:300]!r}"


@dataclass
class Conformance:
    """Collects what is not as documented; ``checked`` counts the answers by operation and status."""

    document: Document = field(default_factory=lambda: load_document(None))
    breaches: list[str] = field(default_factory=list)
    checked: dict[tuple[str, int], int] = field(default_factory=dict)

    def see(self, exchange: Exchange) -> None:
        """Check one answer and remember what is wrong with it."""
        found = [f"{problem} ({exchange})" for problem in self._problems(exchange)]
        self.breaches += found

    def raise_breaches(self) -> None:
        """Fail with every breach so far."""
        assert not self.breaches, "answers are not as documented:\n" + "\n".join(self.breaches)

    def _problems(self, exchange: Exchange) -> Iterator[str]:
        path = documented_path(self.document, exchange.path)
        if path is None and OUTSIDE.match(exchange.path):
            return
        method = "get" if exchange.method == "HEAD" else exchange.method.lower()
        operation = self.document["paths"].get(path, {}).get(method)
        if exchange.preflight and exchange.status == 204:
            yield from _empty(exchange)
        elif operation is None:
            yield from self._without_operation(exchange, known_path=path is not None)
        else:
            name = operation["operationId"]
            self.checked[name, exchange.status] = self.checked.get((name, exchange.status), 0) + 1
            response = _response(self.document, operation, exchange.status)
            if response is None:
                yield f"{name}: status {exchange.status} is not documented"
            else:
                yield from self._against(exchange, response)

    def _without_operation(self, exchange: Exchange, *, known_path: bool) -> Iterator[str]:
        expected = {**_ANYWHERE, **({405: "method_not_allowed"} if known_path else {404: "not_found"})}
        if exchange.status not in expected:
            yield f"no operation is documented here, so {exchange.status} is not"
            return
        yield from self._body(exchange, {"$ref": _URN + _ERROR})
        code = expected[exchange.status]
        if f'"code":"{code}"'.encode() not in exchange.body and exchange.method != "HEAD":
            yield f"the code of a {exchange.status} here is {code}"
        if exchange.status == 405 and "allow" not in exchange.headers:
            yield "405 without Allow"

    def _against(self, exchange: Exchange, response: Mapping[str, Any]) -> Iterator[str]:
        documented = {name.lower(): self._header(given) for name, given in response["headers"].items()}
        for name, header in documented.items():
            if name in exchange.headers:
                value = _wire(exchange.headers[name], header["schema"])
                yield from self._valid(name, value, header["schema"])
            elif header.get("required"):
                yield f"the header {name} is missing"
        for name in exchange.headers.keys() - documented.keys():
            provided = "x-upstream-request-id" in documented and _RATE_LIMIT.match(name)
            if not _TRANSPORT.match(name) and not provided:
                yield f"the header {name} is not documented"
        contents = response.get("content")
        if contents is None:
            yield from _empty(exchange)
            return
        media_type = exchange.headers.get("content-type", "none").partition(";")[0]
        if media_type not in contents:
            yield f"the content type {media_type} is not documented"
        else:
            yield from self._body(exchange, contents[media_type]["schema"])

    def _header(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        header: Mapping[str, Any] = resolve(self.document, given["$ref"])
        return header

    def _body(self, exchange: Exchange, schema: Mapping[str, Any]) -> Iterator[str]:
        if exchange.method == "HEAD":
            return
        if exchange.headers.get("content-type", "").startswith("application/json"):
            try:
                value = orjson.loads(exchange.body)
            except orjson.JSONDecodeError:
                yield "the body is no JSON"
                return
        else:
            value = exchange.body.decode()
        yield from self._valid("the body", value, schema)

    def _valid(self, what: str, value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
        error = best_match(validator(schema).iter_errors(value))
        if error is not None:
            yield f"{what} is not as documented: {error.message[:300]} at {list(error.absolute_path)}"


def watch(app: web.Application, conformance: Conformance) -> None:
    """Have every answer of this application checked, as it is about to be sent."""

    async def see(request: web.Request, response: web.StreamResponse) -> None:
        # Of a stream the beginning is seen here, which has a status and headers.
        body: Any = b""
        if isinstance(response, web.Response):
            body = response.body if response.body is not None else b""
        else:
            streams = response.status == 101 or response.content_type == STREAM
            assert streams, "only events are streamed"
        assert isinstance(body, bytes)
        conformance.see(
            Exchange(
                request.method,
                request.rel_url.raw_path,
                response.status,
                {name.lower(): value for name, value in response.headers.items()},
                body,
                preflight=request.method == "OPTIONS" and _PREFLIGHT in request.headers,
            )
        )

    app.on_response_prepare.append(see)


def _response(document: Document, operation: Mapping[str, Any], status: int) -> Mapping[str, Any] | None:
    for key in (str(status), f"{status // 100}XX"):
        if key in operation["responses"]:
            response: Mapping[str, Any] = operation["responses"][key]
            return resolve(document, response["$ref"]) if "$ref" in response else response
    return None


def _empty(exchange: Exchange) -> Iterator[str]:
    if exchange.body:
        yield "there is a body, and none is documented"


def _wire(value: str, schema: Mapping[str, Any]) -> Any:
    """A header's text as its schema means it."""
    return int(value) if schema["type"] == "integer" and value.isdigit() else value


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """A validator whose references lead into the document."""
    return _validator(orjson.dumps(schema))


@functools.cache
def _validator(schema: bytes) -> Draft202012Validator:
    text = schema.replace(b'"#/', f'"{_URN}#/'.encode())
    whole: Resource[Any] = DRAFT202012.create_resource(load_document(None))
    return Draft202012Validator(orjson.loads(text), registry=Registry().with_resource(_URN, whole))

"""A collector of OpenTelemetry's, strict: OTLP over HTTP as the specification has it, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.clocks import PATIENCE

_TYPE = "application/x-protobuf"


@dataclass(frozen=True)
class Received:
    """One span and the service that sent it."""

    resource: dict[str, Any]
    span: Span

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def attributes(self) -> dict[str, Any]:
        return {pair.key: _value(pair.value) for pair in self.span.attributes}


@dataclass
class Collector:
    """Keeps every span, every body as it came, and every request that was not as it should be."""

    spans: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._news = asyncio.Condition()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._server = TestServer(app, access_log=None)

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    async def wait_for(self, count: int) -> list[Received]:
        """Every span, once there are ``count``."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.spans) >= count)
        return list(self.spans)

    async def _take(self, request: web.Request) -> web.Response:
        # The server half of aiohttp has unpacked it.
        body = await request.read()
        problem = _problem(request)
        if problem is not None:
            self.breaches.append(problem)
            return web.Response(status=400)
        message = ExportTraceServiceRequest.FromString(body)
        async with self._news:
            self.bodies.append(body)
            for group in message.resource_spans:
                resource = {pair.key: _value(pair.value) for pair in group.resource.attributes}
                self.spans += [
                    Received(resource, span) for scope in group.scope_spans for span in scope.spans
                ]
            self._news.notify_all()
        return web.Response(body=ExportTraceServiceResponse().SerializeToString(), content_type=_TYPE)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.close()


def _problem(request: web.Request) -> str | None:
    if (request.method, request.path) != ("POST", "/v1/traces"):
        return f"{request.method} {request.path}"
    return None if request.content_type == _TYPE else f"content type {request.content_type}"


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind in ("string_value", "int_value", "bool_value", "double_value"), f"an attribute of {kind}"
    return getattr(value, kind)

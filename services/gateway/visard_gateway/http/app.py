"""The ASGI application of the HTTP port: who may ask from where, how long anything may take, and no page at all."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from visard_common.limits import IDLE_SECONDS, MAX_DRAINS, UPLOAD_DRAIN_SECONDS

from visard_gateway.http.calls import EXCHANGE, Exchange
from visard_gateway.http.peers import Peer

Scope = Mapping[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Pairs = list[tuple[bytes, bytes]]

OPENAPI = "/openapi.json"
_GRPC = b"application/grpc"
_WEB = b"application/grpc-web"
_ASKED = (
    b"authorization, content-type, connect-protocol-version, connect-timeout-ms, grpc-timeout, x-grpc-web, x-user-agent"
)
_SHOWN = b"grpc-status, grpc-message, grpc-status-details-bin"
_PREFLIGHT_SECONDS = b"7200"  # how long a browser may remember what it may ask; no browser does so for longer

log = structlog.get_logger()


class Front:
    """Everything that the port answers, to whoever is at the other end of a connection."""

    def __init__(self, services: Application, openapi: Mapping[str, Any], origins: Sequence[str]) -> None:
        self._services = services
        self._openapi = json.dumps(openapi).encode()
        self._origins = frozenset(origin.encode() for origin in origins)
        self._draining = 0

    async def serve(self, peer: Peer, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing that goes wrong here ends the connection's other requests."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        if scope["type"] != "http":
            return
        exchange = _Wire(peer, receive, send, self)
        try:
            await self._answer(exchange, scope)
        except Exception as error:  # the client is gone, or does not read: hypercorn ends the stream
            log.info("a response was not delivered", reason=type(error).__name__)

    async def _answer(self, wire: "_Wire", scope: Scope) -> None:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if origin is not None and origin not in self._origins:
            await wire.reply(403, b"this origin may not ask here")
            return
        if origin is not None:
            wire.headers += [
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),  # which is what browsers call a certificate
                (b"access-control-expose-headers", _SHOWN),
                (b"vary", b"Origin"),
            ]
        if scope["method"] == "OPTIONS":
            await self._preflight(wire, headers)
        elif scope["path"] == OPENAPI and scope["method"] == "GET":
            await wire.reply(200, self._openapi, b"application/json")
        elif not all(value.isascii() for value in headers.values()):
            await wire.reply(400, b"headers are ASCII")
        elif headers.get(b"content-type", b"").startswith(_GRPC) and not headers[b"content-type"].startswith(_WEB):
            await wire.reply(415, b"gRPC has a port of its own")
        else:
            EXCHANGE.set(wire.exchange)
            await self._services(scope, wire.receive, wire.send)

    async def _preflight(self, wire: "_Wire", headers: Mapping[bytes, bytes]) -> None:
        """What a browser asks before a request, without a certificate: whether its page may."""
        if b"origin" not in headers or b"access-control-request-method" not in headers:
            await wire.reply(405, b"POST", allow=b"POST")
            return
        wire.headers += [
            (b"access-control-allow-methods", b"POST, GET"),
            (b"access-control-allow-headers", _ASKED),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        ]
        await wire.reply(204, b"")

    async def drain(self, receive: Receive) -> None:
        """Read on in a request that is refused, for a moment, so that who still writes it sees why."""
        if self._draining >= MAX_DRAINS:
            return
        self._draining += 1
        try:
            async with asyncio.timeout(UPLOAD_DRAIN_SECONDS):
                while (await receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass
        finally:
            self._draining -= 1


class _Wire:
    """One request's two directions: reading ends when its call does, and no write waits for ever."""

    def __init__(self, peer: Peer, receive: Receive, send: Send, application: Front) -> None:
        self.exchange = Exchange(peer)
        self.headers: Pairs = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
        self._receive = receive
        self._send = send
        self._application = application
        self._read = False  # to the end

    async def receive(self) -> Message:
        """The next piece of the request; raises ConnectError when the call has failed before that."""
        call = self.exchange.call
        message = await (self._receive() if call is None else call.beside(self._receive()))
        self._read = not message.get("more_body")
        return message  # type: ignore[no-any-return]

    async def send(self, message: Message) -> None:
        """A piece of the response, with our headers; raises TimeoutError where the client does not take it."""
        if message["type"] == "http.response.start":
            if not self._read and not (self.exchange.call and self.exchange.call.handed):
                await self._application.drain(self._receive)
                self._read = True
            message = {**message, "headers": [*message["headers"], *self.headers]}
        async with asyncio.timeout(IDLE_SECONDS):
            await self._send(message)

    async def reply(self, status: int, body: bytes, kind: bytes = b"text/plain", **more: bytes) -> None:
        """A whole response."""
        headers = [(name.encode(), value) for name, value in more.items()]
        if status != 204:
            headers += [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

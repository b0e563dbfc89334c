"""The HTTP port: TLS as on the gRPC port, HTTP/1.1 and HTTP/2 by hypercorn, and an end to every wait.

A certificate is asked for and not demanded: a browser shows none when it asks whether its page may call (CORS). Whoever shows
none, and proves no role by a header, has none, and may call nothing; one that no authority here has issued ends the handshake.
"""

import asyncio
import ssl
from typing import Any

import structlog
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from visard_common.address import host_and_port, listening
from visard_common.limits import CONNECTION_CALLS, HANDSHAKE_SECONDS
from visard_common.tls import Stamp, Tls

from visard_gateway.http.app import Front
from visard_gateway.http.connections import PARTING_SECONDS, Connection
from visard_gateway.http.peers import peer_of

HEADER_SECONDS = 10.0  # for a request's headers, and between two requests of a connection
HEADER_BYTES = 16 << 10
BACKLOG = 128

log = structlog.get_logger()


class Contexts:
    """What TLS needs, as the files say now; looked at in each handshake."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._stamp: Stamp = ()
        self.now = self._read()
        self.now.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if self._tls.stamp() != self._stamp:
            try:
                self._latest = self._read()
            except (OSError, ValueError) as error:
                log.warning("the new certificates are not taken", reason=str(error))
            else:
                log.info("certificates renewed")
        connection.context = self._latest

    def _read(self) -> ssl.SSLContext:
        """The files; raises OSError and ValueError."""
        now = self._tls.stamp()
        self._tls.check()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_OPTIONAL
        context.num_tickets = 0  # each connection shows its certificate, to the authorities of now
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.load_cert_chain(self._tls.cert, self._tls.key)
        context.load_verify_locations(cadata=self._tls.trust().pem().decode())
        self._stamp, self._latest = now, context
        return context


class HttpServer:
    """Serves an application at host:port."""

    def __init__(self, address: str, tls: Tls, application: Front, most: int, age: float) -> None:
        self._address = address
        self._tls = tls
        self._application = application
        self._most = most
        self._age = age
        self._connections: set[asyncio.Task[None]] = set()
        self._context = WorkerContext(None)
        self._config = Config()
        self._config.accesslog = self._config.errorlog = None
        self._config.include_server_header = False
        self._config.keep_alive_timeout = HEADER_SECONDS
        self._config.h11_max_incomplete_size = self._config.h2_max_header_list_size = HEADER_BYTES
        self._config.h2_max_concurrent_streams = CONNECTION_CALLS

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen; raises CannotListen, OSError and ValueError."""
        host, port = host_and_port(self._address)
        context = Contexts(self._tls).now
        with listening(self._address):
            self._server = await asyncio.start_server(
                self._connected,
                host,
                port,
                ssl=context,
                backlog=BACKLOG,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=PARTING_SECONDS,
            )
        log.info("listening for HTTP", address=self._address)

    async def stop(self, seconds: float) -> None:
        """Take no more connections and requests; those that are under way have so long."""
        self._server.close()
        await self._context.terminated.set()
        if self._connections:
            await asyncio.wait(self._connections, timeout=seconds)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= self._most:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            async with asyncio.timeout(self._age):
                await self._serve(reader, writer)
        except TimeoutError:
            pass
        except Exception as error:  # what a client can do to hypercorn costs its own connection
            log.info("a connection failed", reason=type(error).__name__)
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.get_extra_info("ssl_object"))

        async def app(scope: Any, receive: Any, send: Any, sync_spawn: Any, call_soon: Any) -> None:
            await self._application.serve(peer, scope, receive, send)

        loop = asyncio.get_running_loop()
        await Connection(app, loop, self._config, self._context, {}, reader, writer).run()

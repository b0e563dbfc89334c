"""The registrar's port: HTTP/1.1 over TLS, one request a connection, a few sizes and times, and no page.

What goes into the log is the outcome and the kind of role: no secret, no name, no text that somebody has sent.
"""

import asyncio
import base64
import json
import math
import resource
import signal
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import h11
import structlog

from visard.errors import InvalidRequest, PermissionDenied, VisardError
from visard.registrar.authority import Signed
from visard.registrar.book import Copied
from visard.registrar.config import Folder, Settings
from visard.registrar.rates import Rates, network
from visard.registrar.service import ENROL, MAX_BODY, RENEW, Registrar

HEALTH = "/health"
MOST, MOST_EACH = 64, 16  # connections: in all, and of one address
REQUEST_SECONDS = 10.0  # from the handshake to the answer's end
PARTING_SECONDS = 1.0  # for the client to say that it has heard of the end
HEALTH_SECONDS = 1.0
HEADER_BYTES = 16 << 10
PIECE = 4 << 10
_ASKED = b"authorization, content-type"
_STATUS: Mapping[type[VisardError], int] = {InvalidRequest: 400, PermissionDenied: 403}

log = structlog.get_logger()


@dataclass(frozen=True)
class Answer:
    """A status, what is said, and further headers."""

    status: int
    said: Mapping[str, object] | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Asked:
    """A request, as far as it has come."""

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class TooLarge(Exception):
    """More than any request has."""


class Server:
    """Answers for a registrar. Raises OSError, ValueError and InvalidRequest when it is made."""

    def __init__(self, folder: Folder, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._registrar = Registrar(folder, settings, clock)
        self._rates = Rates(time.monotonic)
        self._files = folder.tls
        self._tls = self._latest = self._read_tls()
        self._tls.sni_callback = self._choose
        self._looking, self._well, self._looked = asyncio.Lock(), False, -math.inf
        self._open: dict[asyncio.Task[None], str] = {}  # connections, and whose they are

    def _read_tls(self) -> ssl.SSLContext:
        self._stamp = [path.stat().st_mtime_ns for path in self._files]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(*self._files)
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """The certificate as its files say now; ones that do not fit together (yet) are not taken."""
        try:
            if [path.stat().st_mtime_ns for path in self._files] != self._stamp:
                self._latest = self._read_tls()
        except (OSError, ValueError) as error:
            log.warning("the new certificate is not taken", reason=type(error).__name__)
        connection.context = self._latest

    async def start(self) -> int:
        """Listen; the port. Raises OSError."""
        self._server = await asyncio.start_server(self._connected, self._settings.host, self._settings.port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Take nothing new, and end what is under way after its time."""
        self._server.close()
        if self._open:
            await asyncio.wait(self._open, timeout=REQUEST_SECONDS)
        for task in list(self._open):
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Counted before its handshake, for which a stranger may let us wait."""
        task, plain = asyncio.current_task(), writer  # held: asyncio closes what nobody holds
        address = (writer.get_extra_info("peername") or ("",))[0]
        whose = network(str(address))
        if task is None or len(self._open) >= MOST or list(self._open.values()).count(whose) >= MOST_EACH:
            plain.transport.abort()
            return
        self._open[task] = whose
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                reader, writer = await _secured(plain.transport, self._tls)
                await self._talk(reader, writer, whose)
        except (TimeoutError, OSError, h11.LocalProtocolError):
            if writer is not plain:
                log.info("a connection ended before its answer")
        finally:
            del self._open[task]
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whose: str) -> None:
        http, asked = h11.Connection(h11.SERVER, HEADER_BYTES), Asked()
        try:
            await _read(http, reader, asked)
        except TooLarge:
            answer = _refused(413, f"at most {MAX_BODY} bytes")
        except h11.RemoteProtocolError as error:
            answer = _refused(error.error_status_hint, "not HTTP/1.1 as it is spoken here")
        else:
            answer = await self._answer(asked, whose)
        origin = asked.headers.get("origin", "")
        shared = [("access-control-allow-origin", origin), ("access-control-expose-headers", "retry-after")]
        headers = [*answer.headers, *(shared if origin in self._settings.origins else []), ("vary", "Origin")]
        body = b"" if answer.said is None else json.dumps(answer.said).encode()
        headers += [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        headers += [("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
        response = h11.Response(status_code=answer.status, headers=headers)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(http.send(event) or b"")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def _answer(self, asked: Asked, whose: str) -> Answer:
        origin = asked.headers.get("origin")
        if origin is not None and origin not in self._settings.origins:
            return _refused(403, "this origin may not ask here")
        if asked.path == HEALTH and asked.method == "GET":
            return await self._health()
        if asked.path not in (ENROL, RENEW):
            return _refused(404, "nothing is here")
        if asked.method == "OPTIONS" and origin is not None:
            allowed = [("methods", "POST"), ("headers", _ASKED.decode())]
            head = tuple((f"access-control-allow-{name}", value) for name, value in allowed)
            return Answer(204, None, (*head, ("access-control-max-age", "7200")))
        if asked.method != "POST":
            return _refused(405, "POST", ("allow", "POST"))
        if asked.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _refused(415, "application/json")  # which a page of a foreign origin cannot send without asking
        if wait := self._rates.take(whose):
            return _refused(429, "too many requests", ("retry-after", str(math.ceil(wait))))
        return await self._signed(asked)

    async def _signed(self, asked: Asked) -> Answer:
        what = asked.path.rpartition("/")[2]
        try:
            role, made = await asyncio.to_thread(self._sign, asked)
        except Copied as error:
            log.warning("a key was renewed twice: it was copied, and is renewed no more", what=what)
            return _refused(403, str(error))
        except VisardError as error:
            if status := _STATUS.get(type(error)):
                log.info("not signed", what=what, reason=type(error).__name__)
                return _refused(status, str(error))
            log.error(
                "not signed", what=what, reason=type(error).__name__, why=str(error)
            )  # of our files, not of who asks
            return _refused(503, "the registrar cannot sign now")
        except Exception as error:
            log.error("not signed: a defect", what=what, reason=type(error).__name__)
            return _refused(500, "a defect of the registrar")
        log.info("signed", what=what, kind=role.partition("/")[0], serial=f"{made.serial:x}", until=str(made.until))
        return Answer(200, {"chain": [base64.b64encode(one).decode() for one in made.chain]})

    def _sign(self, asked: Asked) -> tuple[str, Signed]:
        if asked.path == ENROL:
            return self._registrar.enrol(bytes(asked.body))
        return self._registrar.renew(bytes(asked.body), asked.headers.get("authorization", ""))

    async def _health(self) -> Answer:
        """Looked at once a second, whoever asks: it is not counted, or a crowd could make it fail."""
        async with self._looking:
            if time.monotonic() - self._looked > HEALTH_SECONDS:
                try:
                    self._well = await asyncio.to_thread(self._registrar.healthy)
                except VisardError:
                    self._well = False
                self._looked = time.monotonic()
            return Answer(200 if self._well else 503, {"healthy": self._well})


def _refused(status: int, message: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, {"error": {"message": message}}, headers)


async def _secured(
    transport: asyncio.WriteTransport, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection within TLS, of one from which nothing was read yet. Raises OSError."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    within = await loop.start_tls(
        transport,
        protocol,
        context,
        server_side=True,
        ssl_handshake_timeout=REQUEST_SECONDS,
        ssl_shutdown_timeout=PARTING_SECONDS,
    )
    if within is None:  # gone in that moment
        raise ConnectionError
    protocol.connection_made(within)
    return reader, asyncio.StreamWriter(within, protocol, reader, loop)


async def _read(http: h11.Connection, reader: asyncio.StreamReader, asked: Asked) -> None:
    """The whole request; raises TooLarge, h11.RemoteProtocolError, OSError."""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            if http.they_are_waiting_for_100_continue:
                raise TooLarge  # nothing so small waits
            http.receive_data(await reader.read(PIECE))
        elif isinstance(event, h11.Request):
            asked.method, asked.path = event.method.decode(), event.target.decode("latin-1")
            asked.headers.update({name.decode(): value.decode("latin-1") for name, value in event.headers})
        elif isinstance(event, h11.Data):
            asked.body += event.data
            if len(asked.body) > MAX_BODY:
                raise TooLarge
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError
        else:
            return


async def serve(folder: Folder) -> None:
    """Serve until told to stop, by SIGTERM or SIGINT. Raises OSError, ValueError and InvalidRequest."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash would write the authority's key to disk
    settings = folder.read()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    server = Server(folder, settings)
    port = await server.start()
    log.info("listening", service="registrar", host=settings.host, port=port)
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
    await server.stop()
    log.info("stopped")

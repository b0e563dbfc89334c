"""Every shape that a handler of grpc.aio may have passes through every interceptor: answers, faults, counts and spans."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from visard import certs
from visard.cluster import free_port_base
from visard_common import lifecycle, tracing
from visard_common.config import ServiceConfig
from visard_common.errors import NotFound
from visard_common.metrics import REGISTRY
from visard_common.rpc import handled, rewrap
from visard_common.tls import Tls

SERVICE = "visard.v1.Shapes"
KINDS = ("unary_unary", "stream_unary", "unary_stream", "stream_stream")


async def _said(request: Any) -> bytes:
    """What the caller has sent, whether as one message or as many."""
    return request if isinstance(request, bytes) else b"".join([message async for message in request])


def _refuse(text: bytes) -> None:
    if text == b"fault":
        raise NotFound("there is none")
    if text == b"defect":
        raise RuntimeError("the secret is 42")


async def returns(request: Any, context: Any) -> bytes:
    _refuse(text := await _said(request))
    return text.upper()


async def writes(request: Any, context: Any) -> None:
    _refuse(text := await _said(request))
    for letter in text.decode().upper():
        await context.write(letter.encode())


async def yields(request: Any, context: Any) -> AsyncIterator[bytes]:
    _refuse(text := await _said(request))
    for letter in text.decode().upper():
        yield letter.encode()


SHAPES = {
    f"{kind}_{behaviour.__name__}": (kind, behaviour)
    for kind in KINDS
    for behaviour in ((returns,) if kind.endswith("unary") else (writes, yields))
}
_MAKE = {kind: getattr(grpc, f"{kind}_rpc_method_handler") for kind in KINDS}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


def tls(pki: Path, name: str) -> Tls:
    return Tls(ca=pki / "ca.pem", cert=pki / f"{name}.pem", key=pki / f"{name}.key")


@asynccontextmanager
async def served(pki: Path) -> AsyncIterator[tuple[grpc.aio.Channel, lifecycle.Health]]:
    """All shapes behind TLS and the interceptors of a service, traces included."""
    address = f"localhost:{free_port_base()}"
    methods = {name: _MAKE[kind](behaviour) for name, (kind, behaviour) in SHAPES.items()}
    config = ServiceConfig(listen=address, tls=tls(pki, "gateway"), drain_seconds=1)

    def add(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    async with (
        lifecycle.running(config, {SERVICE: ("enroller",)}, add) as health,
        tls(pki, "client").channel(address, "gateway") as channel,
    ):
        yield channel, health


async def ask(channel: grpc.aio.Channel, name: str, text: bytes) -> bytes:
    """Everything that a shape answers, joined; raises AioRpcError."""
    kind = SHAPES[name][0]
    request: Any = text
    if kind.startswith("stream"):
        request = iter([text[:2], text[2:]])
    call = getattr(channel, kind)(f"/{SERVICE}/{name}")(request, timeout=60)
    return await call if kind.endswith("unary") else b"".join([message async for message in call])


def counted(name: str, status: str) -> float:
    labels = {"method": f"{SERVICE}/{name}", "status": status}
    return REGISTRY.get_sample_value("visard_requests_total", labels) or 0.0


@pytest.mark.parametrize("name", SHAPES)
async def shape__should_answer_through_all_interceptors(pki: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tracing._state, "on", True)
    noted: list[tuple[str, str]] = []
    monkeypatch.setattr("visard_common.tracing.tracing.note", lambda key, value: noted.append((key, value)))
    before = {status: counted(name, status) for status in ("OK", "NOT_FOUND", "INTERNAL")}
    async with served(pki) as (channel, _):
        assert await ask(channel, name, b"hello") == b"HELLO"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, name, b"fault")
        assert (caught.value.code(), caught.value.details()) == (StatusCode.NOT_FOUND, "there is none")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, name, b"defect")
        assert caught.value.code() is StatusCode.INTERNAL
        assert "secret" not in str(caught.value)
    assert {status: counted(name, status) - n for status, n in before.items()} == {
        "OK": 1,
        "NOT_FOUND": 1,
        "INTERNAL": 1,
    }
    assert [value for _, value in noted] == ["OK", "NOT_FOUND", "INTERNAL"]


def handler_of_another_shape__should_be_named() -> None:
    """grpc runs plain functions in threads, where our contexts mean nothing."""

    def plain(request: bytes, context: Any) -> bytes:
        return request

    for kind, behaviour in (("unary_unary", plain), ("unary_unary", yields)):
        made = handled(_MAKE["unary_unary"](plain), kind, behaviour)
        with pytest.raises(TypeError, match="neither a coroutine nor"):
            rewrap(made, lambda context: None)  # type: ignore[arg-type, return-value]


async def watch__should_tell_what_changes(pki: Path) -> None:
    """Health/Watch writes by itself and returns nothing."""
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with served(pki) as (channel, health):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert (await watch.read()).status == not_serving
        for told, expected in ((True, serving), (False, not_serving), (True, serving)):
            await health.set(told)
            assert (await watch.read()).status == expected
        watch.cancel()

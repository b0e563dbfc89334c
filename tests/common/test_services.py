"""Behind mutual TLS the certificate decides who may call; faults arrive with their details, and texts do not leak."""

import asyncio
import contextvars
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from visard import certs
from visard.cluster import free_port_base
from visard_common import lifecycle
from visard_common.config import ServiceConfig
from visard_common.errors import FAULTS, InvalidArgument, ResourceExhausted, ServiceFault, Unavailable
from visard_common.identity import KINDS, require, require_party
from visard_common.limits import MAX_TEXT
from visard_common.rpc import fault_of
from visard_common.tls import Tls
from visard_gateway.config import GatewayConfig
from visard_wire.v1 import gateway_pb2, gateway_pb2_grpc

from tests.common.begun import begun
from tests.waiting import PATIENCE

ASK = gateway_pb2.GetStatusRequest()


class Behaviour(gateway_pb2_grpc.FaceMatchingServicer):
    """GetStatus does what a test wants."""

    def __init__(self) -> None:
        self.do: Any = None

    async def GetStatus(self, request: Any, context: Any) -> gateway_pb2.GetStatusResponse:
        result = self.do(context)
        if asyncio.iscoroutine(result):
            await result
        return gateway_pb2.GetStatusResponse(ready=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


def tls(pki: Path, name: str) -> Tls:
    return Tls(ca=pki / "ca.pem", cert=pki / f"{name}.pem", key=pki / f"{name}.key")


@pytest.fixture
async def served(pki: Path) -> AsyncIterator[tuple[Behaviour, str]]:
    behaviour = Behaviour()  # type: ignore[abstract]  # what it has not is answered with UNIMPLEMENTED
    address = f"localhost:{free_port_base()}"
    config = ServiceConfig(listen=address, tls=tls(pki, "gateway"), reflection=True, drain_seconds=1)
    async with lifecycle.running(
        config,
        {"visard.v1.FaceMatching": KINDS},
        lambda server: gateway_pb2_grpc.add_FaceMatchingServicer_to_server(behaviour, server),
    ) as health:
        await health.set(True)
        yield behaviour, address


async def status_of(address: str, tls_: Tls) -> grpc.aio.AioRpcError | None:
    async with tls_.channel(address, "gateway") as channel:
        try:
            await gateway_pb2_grpc.FaceMatchingStub(channel).GetStatus(ASK, timeout=60)
        except grpc.aio.AioRpcError as error:
            return error
    return None


@pytest.mark.parametrize("name", ["client", "owner", "verifier", "gateway", "dealer", "party0", "party2"])
async def role__should_decide_who_may_call(served: tuple[Behaviour, str], pki: Path, name: str) -> None:
    behaviour, address = served
    behaviour.do = lambda context: require(context, "enroller", "owner")
    error = await status_of(address, tls(pki, name))
    if name in ("client", "owner"):
        assert error is None
    else:
        assert error is not None
        assert error.code() is StatusCode.PERMISSION_DENIED
        assert name.rstrip("012") in (error.details() or "")


async def party__should_be_known_by_its_certificate(served: tuple[Behaviour, str], pki: Path) -> None:
    behaviour, address = served
    seen: list[int] = []
    behaviour.do = lambda context: seen.append(require_party(context))
    assert await status_of(address, tls(pki, "party2")) is None
    assert seen == [2]
    assert (await status_of(address, tls(pki, "client"))).code() is StatusCode.PERMISSION_DENIED  # type: ignore[union-attr]


async def stranger__should_not_get_through_tls(served: tuple[Behaviour, str], pki: Path, tmp_path: Path) -> None:
    _, address = served
    certs.init(tmp_path / "other")
    mixed = Tls(ca=pki / "ca.pem", cert=tmp_path / "other" / "client.pem", key=tmp_path / "other" / "client.key")
    for credentials in (mixed.channel(address, "gateway"), grpc.aio.insecure_channel(address)):
        async with credentials as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await gateway_pb2_grpc.FaceMatchingStub(channel).GetStatus(ASK, timeout=3)
            assert caught.value.code() in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)


@pytest.mark.parametrize("fault", FAULTS.values())
async def fault__should_arrive_with_its_details(
    served: tuple[Behaviour, str], pki: Path, fault: type[ServiceFault]
) -> None:
    behaviour, address = served

    def refuse(_: Any) -> None:
        raise fault("party 1 says so", field="request.subject", allowed="letters", retry_after=1.5)

    behaviour.do = refuse
    error = await status_of(address, tls(pki, "client"))
    assert error is not None
    assert error.code().name == fault.code
    again = fault_of(error, "the gateway")
    assert type(again) is fault
    assert (again.message, again.field, again.allowed, again.retry_after) == (
        "party 1 says so",
        "request.subject",
        "letters",
        1.5,
    )


async def internal_error__should_keep_its_text_to_the_log(served: tuple[Behaviour, str], pki: Path) -> None:
    behaviour, address = served

    def fail(_: Any) -> None:
        raise RuntimeError("the secret is 42")

    behaviour.do = fail
    error = await status_of(address, tls(pki, "client"))
    assert error is not None
    assert error.code() is StatusCode.INTERNAL
    assert (error.details() or "").startswith("internal error ")
    assert "secret" not in str(error)


async def absent_service__should_be_unavailable_by_name(pki: Path) -> None:
    error = await status_of(f"localhost:{free_port_base()}", tls(pki, "client"))
    assert error is not None
    fault = fault_of(error, "party 2")
    assert isinstance(fault, Unavailable)
    assert fault.message == "party 2 is unavailable"


async def health_and_reflection__should_answer(served: tuple[Behaviour, str], pki: Path) -> None:
    _, address = served
    async with tls(pki, "client").channel(address, "gateway") as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([asked]), timeout=60)]
        names = {service.name for service in answers[0].list_services_response.service}
        assert {"visard.v1.FaceMatching", "grpc.health.v1.Health"} <= names


def configured(pki: Path, tmp_path: Path, *lines: str) -> Path:
    """The file of a dealer's settings."""
    names = {kind: f"{pki}/{file}" for kind, file in (("ca", "ca.pem"), ("cert", "dealer.pem"), ("key", "dealer.key"))}
    quoted = ", ".join(f'{kind} = "{path}"' for kind, path in names.items())
    config = tmp_path / "dealer.toml"
    config.write_text("\n".join([f"tls = {{ {quoted} }}", f'master_key = "{tmp_path}/master"', *lines]))
    return config


def dealer(config: Path, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "visard_dealer", "--config", str(config)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment)


@pytest.mark.parametrize(
    ("line", "environment", "named"),
    [
        ('listen = "nowhere"', {}, "listen"),
        ('listen = "localhost:1"\nnice = 99', {}, "nice"),
        ('listen = "localhost:1"\nsurprise = 1', {}, "surprise"),
        ('listen = "localhost:1"', {"VISARD_CACHE_MB": "lots"}, "cache_mb"),
        ("", {}, "listen"),
    ],
)
def wrong_configuration__should_be_named(
    pki: Path, tmp_path: Path, line: str, environment: dict[str, str], named: str
) -> None:
    text = begun("dealer", "--config", str(configured(pki, tmp_path, line)), environment=environment).stderr
    assert text.startswith("configuration: ")
    assert named in text
    assert "Traceback" not in text


def wrong_configuration__should_end_the_process_in_one_line(pki: Path, tmp_path: Path) -> None:
    process = dealer(configured(pki, tmp_path, 'listen = "nowhere"'))
    _, text = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert text.startswith("configuration: listen")
    assert text.count("\n") == 1


async def callers__should_connect_anew_without_losing_a_call(pki: Path) -> None:
    """So that gateways which are added get their part of the callers who are there already."""
    behaviour = Behaviour()  # type: ignore[abstract]
    address, peers = f"localhost:{free_port_base()}", set[str]()

    async def answer(context: Any) -> None:
        peers.add(context.peer())
        await asyncio.sleep(0.02)

    behaviour.do = answer
    config = GatewayConfig(listen=address, tls=tls(pki, "gateway"), parties=("a:1", "b:1", "c:1"), connection_age=1)
    add = partial(gateway_pb2_grpc.add_FaceMatchingServicer_to_server, behaviour)
    async with (
        lifecycle.running(config, {"visard.v1.FaceMatching": KINDS}, add, config.connection_options),
        tls(pki, "client").channel(address, "gateway") as c,
    ):
        stub, end = gateway_pb2_grpc.FaceMatchingStub(c), time.monotonic() + PATIENCE
        while len(peers) < 3:
            assert time.monotonic() < end, peers
            await asyncio.gather(*(stub.GetStatus(ASK, timeout=60) for _ in range(8)))


def time_to_finish__should_run_from_the_signal_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many things a service waits for in turn, together they take no longer than drain_seconds."""

    def stopping() -> None:
        assert lifecycle.left(20) == 20, "nobody has told it to stop"
        stop = lifecycle._Stop()
        lifecycle._stop.set(stop)
        assert lifecycle.left(20) == 20
        now = time.monotonic()
        monkeypatch.setattr("visard_common.lifecycle.time.monotonic", lambda: now)
        stop.tell()
        for passed, expected in ((0, 20), (15, 5), (30, 0)):
            monkeypatch.setattr("visard_common.lifecycle.time.monotonic", lambda passed=passed: now + passed)
            stop.tell()  # a second signal does not begin anew
            assert lifecycle.left(20) == pytest.approx(expected)

    contextvars.copy_context().run(stopping)


def stopped_service__should_say_so_in_json_and_end_cleanly(pki: Path, tmp_path: Path) -> None:
    settings = configured(pki, tmp_path, 'listen = "localhost:1"')
    process = dealer(settings, VISARD_LISTEN=f"localhost:{free_port_base()}")
    assert process.stderr is not None
    first = json.loads(process.stderr.readline())
    assert (first["event"], first["service"], first["level"]) == ("listening", "dealer", "info")
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=PATIENCE)
    assert [json.loads(line)["event"] for line in rest.splitlines()] == ["stopping", "stopped"]
    assert process.returncode == 0


def memory_of_a_service__should_be_private(pki: Path, tmp_path: Path) -> None:
    """No core dump, whatever the shell or the system allows; and only root may look into it."""
    process = dealer(configured(pki, tmp_path, f'listen = "localhost:{free_port_base()}"'))
    assert process.stderr is not None
    assert "listening" in process.stderr.readline()
    folder = Path("/proc") / str(process.pid)
    (limit,) = [line for line in (folder / "limits").read_text().splitlines() if line.startswith("Max core file size")]
    assert limit.split()[4:6] == ["0", "0"]
    assert (folder / "mem").stat().st_uid == 0  # of a process that may not be dumped, root owns what shows its memory
    dumpable = (
        "import ctypes; from visard_common.secrecy import *; p = ctypes.CDLL(None).prctl; print(p(3, 0, 0, 0, 0))"
    )
    asked = [sys.executable, "-c", f"{dumpable}; keep_memory_private(); print(p(3, 0, 0, 0, 0))"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split() == ["1", "0"]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def invalid_argument__should_name_field_and_what_is_allowed() -> None:
    fault = InvalidArgument.of("images", "1 to 16")
    assert (fault.message, fault.field, fault.allowed) == ("images: 1 to 16", "images", "1 to 16")
    assert ResourceExhausted("full", retry_after=2).retry_after == 2


@pytest.mark.parametrize("fault", FAULTS.values())
def texts_of_a_fault__should_be_cut(fault: type[ServiceFault]) -> None:
    """What a caller has sent may be part of any of them."""
    made = fault("m" * 200_000, field="f" * 200_000, allowed="a" * 200_000)
    for text in (str(made), made.message, made.field, made.allowed):
        assert len(text or "") == MAX_TEXT


@pytest.mark.parametrize("field", ["listen", "health_listen", "metrics_listen"])
def address_of_another_program__should_be_told_in_one_line(pki: Path, tmp_path: Path, field: str) -> None:
    """The last line of the log says what an operator can do; so says ``visard up``, which reads it."""
    base = free_port_base()
    settings = {name: f"127.0.0.1:{base + k}" for k, name in enumerate(("listen", "health_listen", "metrics_listen"))}
    address, parties = settings[field], [f"127.0.0.1:{base + k}" for k in (3, 4, 5)]
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**settings, "parties": parties}.items()]
    names = {"ca": "ca.pem", "cert": "gateway.pem", "key": "gateway.key"}
    lines += ["[tls]", *(f"{name} = {json.dumps(str(pki / file))}" for name, file in names.items())]
    (tmp_path / "gateway.toml").write_text("\n".join(lines))
    command = [sys.executable, "-m", "visard_gateway", "--config", str(tmp_path / "gateway.toml")]
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    told = json.loads(ended.stderr.splitlines()[-1])
    assert told["level"] == "critical"
    assert told["reason"].startswith(f"cannot listen on {address}: another program does")

"""Every loop that a service keeps in the background is heard when it fails: in the log, in a counter by its name, in health."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs
from visard import certs
from visard.cluster import free_port_base
from visard_common import background as module
from visard_common import lifecycle
from visard_common.background import Background, background
from visard_common.metrics import REGISTRY
from visard_common.tls import Tls
from visard_dealer import __main__ as dealer
from visard_dealer.config import DealerConfig
from visard_gateway import __main__ as gateway
from visard_gateway.config import GatewayConfig
from visard_party import __main__ as party
from visard_party.config import PartyConfig

from tests.waiting import PATIENCE

SERVICES = Path(__file__).parents[2] / "services"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
# what the services do by themselves; a party calls those below it
LOOPS = {
    "gateway": {"expiry"},
    "dealer": set[str](),
    "party0": {"kits", "writes", "models", "references", "galleries", "health", "sealing keys", "audit log", "audits"},
    "party2": {
        *("link to party 0", "link to party 1"),
        *("kits", "writes", "models", "references", "galleries", "health", "sealing keys", "audit log", "audits"),
    },
}
MANY = 1_000_000
KILLED = [(service, loop) for service in ("gateway", "party2") for loop in sorted(LOOPS[service])]


class Killable(Background):
    """Fails a loop as often as a test says, and its passes come at once."""

    made: "Killable"
    kill: dict[str, int]

    def __init__(self, group: asyncio.TaskGroup) -> None:
        super().__init__(group)
        Killable.made, self.kill = self, {}

    def every(self, seconds: float, name: str, work: module.Work) -> None:
        super().every(min(seconds, 0.1), name, work)

    async def _once(self, name: str, work: module.Work) -> None:
        task = asyncio.create_task(super()._once(name, work), name=name)
        try:
            while not task.done():
                if self.kill.get(name):
                    self.kill[name] -= 1
                    raise KeyError("injected")
                await asyncio.wait({task}, timeout=0.02)
            task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


def tls(pki: Path, name: str) -> Tls:
    return Tls(ca=pki / "ca.pem", cert=pki / f"{name}.pem", key=pki / f"{name}.key")


def main(name: str, pki: Path, tmp_path: Path, address: str) -> Any:
    """A service's own ``serve``, with a configuration."""
    kind = name.rstrip("012")
    common: dict[str, Any] = {"listen": address, "tls": tls(pki, name), "drain_seconds": 0.1}
    nowhere = ("localhost:1",) * 3
    if kind == "gateway":
        return gateway.serve(GatewayConfig(parties=nowhere, **common))
    if kind == "dealer":
        return dealer.serve(DealerConfig(master_key=tmp_path / "master", **common))
    data = tmp_path / "data"
    return party.serve(PartyConfig(index=int(name[-1]), peers=nowhere, dealer="localhost:1", data_dir=data, **common))


@asynccontextmanager
async def served(name: str, pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A running service that thinks its peers are there; its address."""
    monkeypatch.setattr(module, "Background", Killable)
    monkeypatch.setattr("visard_party.peers.links.PeerLinks.up", lambda self: True)
    address, stop = f"localhost:{free_port_base()}", lifecycle._Stop()
    token = lifecycle._stop.set(stop)
    task = asyncio.create_task(main(name, pki, tmp_path, address), name="the service")
    lifecycle._stop.reset(token)
    try:
        await until(address, pki, SERVING)
        yield address
    finally:
        stop.tell()
        await asyncio.wait_for(task, PATIENCE)


async def until(address: str, pki: Path, expected: Any) -> None:
    """Wait until health says so."""
    async with asyncio.timeout(PATIENCE), tls(pki, "client").channel(address, "gateway") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                if (await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)).status == expected:
                    return
            await asyncio.sleep(0.05)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


def failures(loop: str) -> float:
    return REGISTRY.get_sample_value("visard_background_failures_total", {"loop": loop}) or 0.0


def ours(task: "asyncio.Task[Any]") -> bool:
    """Whether a task runs code of the services that may be for ever, and is no call that somebody has made."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and Path(code.co_filename).is_relative_to(SERVICES) and task.get_name() != "the service"


@pytest.mark.parametrize("name", LOOPS)
async def task_of_a_service__should_be_one_of_its_loops(
    name: str, pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by listing what runs: a loop that is started in another way would be listed, too."""
    async with served(name, pki, tmp_path, monkeypatch):
        loops = Killable.made.loops
        assert set(loops) == LOOPS[name]
        running = {task for task in asyncio.all_tasks() if ours(task)}
        assert running >= set(loops.values())
        assert {task.get_name() for task in running} == set(loops)


@pytest.mark.parametrize(("name", "loop"), KILLED)
async def loop_that_fails__should_be_heard_and_go_on(
    name: str, loop: str, pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALM_SECONDS", 0.3)
    monkeypatch.setattr(module, "PAUSES", (0.2, 0.2))
    monkeypatch.setattr(module, "MOST", MANY)
    before = failures(loop)
    with capture_logs() as lines:
        async with served(name, pki, tmp_path, monkeypatch) as address:
            made = Killable.made
            made.kill[loop] = MANY
            await until(address, pki, NOT_SERVING)
            # on a busy machine calm may seem to have come between two failures: what is asked is where it leads
            await eventually(lambda: failures(loop) >= before + 3 and not made.well)
            made.kill[loop] = 0
            await eventually(lambda: made.well)
            await until(address, pki, SERVING)
    told = [line for line in lines if line["event"] == "background work failed"]
    assert {(line["loop"], line["log_level"]) for line in told} == {(loop, "error")}
    assert len(told) == failures(loop) - before
    assert any(line["event"] == "background work goes on" and line["loop"] == loop for line in lines)


async def work__should_be_done_again_and_again_whatever_it_raises() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(len(done))
        if len(done) == 2:
            raise ValueError("once")

    async with background() as loops:
        loops.every(0.01, "work", work)
        with pytest.raises(ValueError, match="already"):
            loops.every(1, "work", work)
        await eventually(lambda: len(done) > 4)
        assert loops.well
    assert all(task.done() for task in loops.loops.values())


async def end_of_endless_work__should_count_as_a_failure() -> None:
    async def nothing() -> None:
        return

    before = failures("nothing")
    async with background() as loops:
        loops.forever("nothing", nothing)
        await eventually(lambda: failures("nothing") > before)
        assert not loops.well


HOPELESS = """
import asyncio
from visard_common import background, lifecycle, logs
background.MOST, background.PAUSES = 3, (0.01, 0.01)
async def broken():
    raise KeyError("x")
async def main():
    async with background.background() as work:
        work.every(0.01, "broken", broken)
        await lifecycle.until_stopped()
logs.configure("test", "info")
lifecycle.run(main)
"""


def service_that_cannot_go_on__should_end_with_a_status() -> None:
    ended = subprocess.run([sys.executable, "-c", HOPELESS], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("background work failed") == 3
    assert "broken has failed 3 times in a row" in ended.stderr.splitlines()[-1]
    assert "critical" in ended.stderr.splitlines()[-1]

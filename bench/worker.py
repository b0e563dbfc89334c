"""One party of a measurement, as a process of its own: the engine over the real peer links.

``python -m bench.worker SETTINGS``: settings as JSON; one JSON line a run on standard output.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from visard_common.memory import give_back_large_arrays
from visard_common.rpc import FaultInterceptor
from visard_common.tls import SERVER_OPTIONS, Tls
from visard_common.vouching import VouchingInterceptor
from visard_engine import nearest, searching
from visard_engine.bits import ReplicatedBits
from visard_engine.correlated import joined
from visard_engine.field import Elements, field_of
from visard_engine.kits import Kit, deal_kit, dealt_part
from visard_engine.nn.execute import Model, embed
from visard_engine.prf import Prf
from visard_engine.protocols import threshold
from visard_engine.protocols.opening import agree
from visard_engine.protocols.verification import verify
from visard_engine.session import Run, Session
from visard_party.peers.channel import SessionChannel
from visard_party.peers.framing import add_exchange
from visard_party.peers.links import PeerLinks
from visard_party.peers.servicer import PeerServicer

from bench import rows
from bench.profile import Profile
from bench.rows import Row

MASTER = bytes(32)
COIN = bytes(32)
ROUND_SECONDS = 60.0
LINGER_SECONDS = 0.5


def shares(q: int, x: Any, party: int, label: int) -> Elements:
    """This party's share of public test data: all parties derive the same slope, so none needs to talk."""
    field = field_of(q)
    secret = field.encode(x)
    slope = Prf(bytes(16)).elements(label, secret.size, field).reshape(secret.shape)
    return field.add(secret, field.scale(slope, party + 1))


def kit_number(row: Row, run: int, image: int) -> int:
    """Of the kit for an image of a run; each is used once."""
    return 1 + run * row.kits + image


class Worker:
    """A party: its links, and the row prepared."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.party: int = settings["party"]
        self.row = Row(**settings["row"])
        self.repeat: int = settings["repeat"]
        self.out = Path(settings["out"])
        certs = Path(settings["certs"])
        name = f"party{self.party}"
        self.tls = Tls(ca=certs / "ca.pem", cert=certs / f"{name}.pem", key=certs / f"{name}.key")
        self.address: str = settings["addresses"][self.party]
        self.links = PeerLinks(self.party, tuple(settings["addresses"]), self.tls)
        if self.row.is_network:
            rows.read(self.row, self.out)
        self.plans = rows.plans(self.row)
        self.profile = Profile() if settings["profile"] else None
        if self.profile is not None:
            self.profile.install()

    async def serve(self) -> None:
        """Connect, run, report."""
        import grpc  # noqa: PLC0415 -- after the arguments are known to be right

        server = grpc.aio.server(
            interceptors=[FaultInterceptor(), VouchingInterceptor(self.tls)], options=SERVER_OPTIONS
        )
        add_exchange(PeerServicer(self.links).Exchange, server)
        server.add_secure_port(self.address, self.tls.server_credentials())
        await server.start()
        calling = asyncio.create_task(self.links.keep_calling_all())
        async with asyncio.timeout(60):
            while not self.links.up():
                await asyncio.sleep(0.01)
        work = self._work()
        for number in range(self.repeat + 1):  # the first one warms up
            report = await self._measure(number, work)
            print(json.dumps(report), flush=True)
        await asyncio.sleep(LINGER_SECONDS)  # the others may still be reading our last message
        calling.cancel()
        self.links.close()
        await server.stop(1)

    async def _measure(self, number: int, work: Any) -> dict[str, Any]:
        started = time.process_time()
        numbered = [(plan, kit_number(self.row, number, k)) for k, plan in enumerate(self.plans)]
        dealt = [deal_kit(plan, MASTER, n) for plan, n in numbered]
        dealer = time.process_time() - started
        kits = [dealt_part(plan, n, d, self.party, COIN) for (plan, n), d in zip(numbered, dealt, strict=True)]
        del dealt
        channel = SessionChannel(self.links, number.to_bytes(16, "big"), ROUND_SECONDS)
        peers = [peer for peer in range(3) if peer != self.party]
        await channel.exchange(dict.fromkeys(peers, b"ready"), peers)
        sent, channel.rounds = channel.sent_bytes, 0
        if self.profile is not None:
            self.profile.seconds.clear()
        forget_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        result = await work(Run(channel), kits)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        stages = dict(self.profile.seconds) if self.profile is not None else {}
        np.save(self.out / f"party{self.party}-{number}.npy", result)
        await channel.exchange(dict.fromkeys(peers, b"done"), peers)
        channel.close()
        return {
            "wall": wall,
            "cpu": cpu,
            "cpu_dealer": dealer,
            "rounds": channel.rounds - 1,
            "sent": channel.sent_bytes - sent - 8,
            "stages": stages,
            "rss": peak(),
        }

    def _work(self) -> Any:
        row, party = self.row, self.party
        if row.is_network:
            network = rows.network(row.name, row.q, row.n)
            model = Model(network.program, shares(row.q, network.weights, party, 1))
            images = shares(row.q, rows.images(row), party, 2)

            async def work(run: Run, kits: list[Kit]) -> Elements:
                s = Session(run, joined(kits))
                output = await embed(s, model, images)
                await verify(s, network.program.pairs)
                await agree(s)
                return output

            return work
        if row.name == "W3M":
            return self._search()
        probe, references = (shares(row.q, x, party, k + 3) for k, x in enumerate(rows.gallery(row)))

        async def match(run: Run, kits: list[Kit]) -> Elements:
            if row.name == "W3T":
                return _pieces(await nearest.identify(run, kits, probe, references, rows.limit(row.q)))
            (kit,) = kits
            s = Session(run, kit)
            distances = await threshold.distances(s, probe, references)
            found = await threshold.exceeds(s, distances, rows.limit(row.q), probe[:0])
            await verify(s, rows.DESCRIPTOR)
            await agree(s)
            return _pieces(ReplicatedBits(found, row.n))

        return match

    def _search(self) -> Any:
        row = self.row
        probe, parts = rows.large_gallery(row)
        own = shares(row.q, probe, self.party, 3)
        references = np.empty((row.n, rows.DESCRIPTOR), field_of(row.q).dtype)
        at = 0
        for k, part in enumerate(parts):
            references[at : at + len(part)] = shares(row.q, part, self.party, 4 + k)
            at += len(part)
        labels, limits = rows.labels(row), [rows.limit(row.q, rows.NEARER)]

        async def search(run: Run, kits: list[Kit]) -> Elements:
            return _pieces(await searching.search(run, kits, own, references, limits, labels))

        return search


def forget_peak() -> None:
    """The highest memory so far was the compiler's or the dealer's: both are no part of a party."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Bytes of memory at most since then, of which some 0.3 GB are torch, which a party does not have."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _pieces(bits: ReplicatedBits) -> Elements:
    return np.frombuffer(b"".join(bits.pieces()), np.uint8)


if __name__ == "__main__":
    give_back_large_arrays()  # as a party does
    uvloop.run(Worker(json.loads(sys.argv[1])).serve())

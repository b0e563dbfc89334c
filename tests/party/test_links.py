"""The hazards of MPyC's own transport do not exist here: shown over real mutual TLS, each by its name.

Swapped answers under concurrency, pickled messages, a lost peer, a duplicate peer, a peer that lies about its number, an
exception that stops the event loop, the import's side effects.
"""

import asyncio
import pickle
import random
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode
from mpyc import finfields, thresha
from visard_common.limits import MAX_REQUEST
from visard_engine.errors import PeerLost, RoundTimeout
from visard_engine.field import M31
from visard_engine.prss import Prss
from visard_engine.shamir import reconstruct
from visard_party.faults import fault_of
from visard_party.peers.channel import PickleRefused, SessionChannel, mpyc_runtime
from visard_party.peers.mailbox import SessionAborted
from visard_wire.v1 import peer_pb2, peer_pb2_grpc

from tests.party.harness import LinkedParty, linked, tls
from tests.waiting import until

SECONDS = 60.0


def channels(parties: list[LinkedParty], session: bytes) -> list[SessionChannel]:
    return [SessionChannel(party.links, session, SECONDS) for party in parties]


def others(channel: SessionChannel) -> list[int]:
    return [peer for peer in range(3) if peer != channel.party]


async def concurrent_sessions__should_not_swap_their_answers(pki: Path) -> None:
    async with linked(pki) as parties:

        async def run(party: LinkedParty, number: int) -> None:
            channel = SessionChannel(party.links, number.to_bytes(16, "big"), SECONDS)
            for step in range(5):
                text = f"{number} {step} from {channel.party}".encode()
                await asyncio.sleep(random.random() / 100)
                got = await channel.exchange(dict.fromkeys(others(channel), text), others(channel))
                assert got == {peer: f"{number} {step} from {peer}".encode() for peer in others(channel)}
            assert (channel.rounds, channel.sent_bytes) == (5, 5 * 2 * len(text))
            channel.close()

        order = {party: random.Random(party).sample(range(30), 30) for party in range(3)}
        runs = [run(parties[party], number) for party in range(3) for number in order[party]]
        await asyncio.gather(*runs)


async def long_messages__should_arrive_whole_both_ways(pki: Path) -> None:
    """Longer than what any server takes as one message of gRPC."""
    async with linked(pki) as parties:
        texts = [random.Random(party).randbytes(5 * MAX_REQUEST + party) for party in range(3)]

        async def run(channel: SessionChannel) -> None:
            for _ in range(2):
                sent = dict.fromkeys(others(channel), texts[channel.party])
                got = await channel.exchange(sent, others(channel))
                assert got == {peer: texts[peer] for peer in others(channel)}
            channel.close()

        await asyncio.gather(*map(run, channels(parties, b"long".ljust(16))))


class Bomb:
    """Unpickling this runs code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


async def pickled_message__should_arrive_as_bytes_and_be_nothing_more(pki: Path) -> None:
    async with linked(pki) as parties:
        one, two, _ = channels(parties, b"p" * 16)
        payload = pickle.dumps(Bomb())
        received = await asyncio.gather(one.exchange({1: payload}, ()), two.exchange({}, (0,)))
        assert received[1] == {0: payload}
        module = mpyc_runtime()
        for function in (module.pickle.loads, module.pickle.dumps):
            with pytest.raises(PickleRefused):
                function(payload)


async def lost_peer__should_fail_its_sessions_at_once_and_come_back(pki: Path) -> None:
    async with linked(pki) as parties:
        one, two, _ = channels(parties, b"l" * 16)
        waiting = [asyncio.ensure_future(c.exchange({}, (2,))) for c in (one, two)]
        await asyncio.sleep(0.05)
        await parties[2].stop()
        async with asyncio.timeout(SECONDS / 2):
            for future in waiting:
                with pytest.raises(PeerLost, match="party 2"):
                    await future
        await until(lambda: not parties[0].links.connected(2))
        with pytest.raises(PeerLost):
            SessionChannel(parties[0].links, b"m" * 16, SECONDS)
        assert parties[0].links.connected(1)
        await parties[2].start()
        await until(lambda: all(party.links.up() for party in parties))
        fresh = channels(parties, b"n" * 16)
        got = await asyncio.gather(*(c.exchange(dict.fromkeys(others(c), b"hi"), others(c)) for c in fresh))
        assert [len(g) for g in got] == [2, 2, 2]


async def silent_peer__should_time_out(pki: Path) -> None:
    async with linked(pki) as parties:
        channel = SessionChannel(parties[0].links, b"s" * 16, 0.2)
        with pytest.raises(RoundTimeout):
            await channel.exchange({}, (1,))


async def abort__should_reach_the_peers_with_its_reason(pki: Path) -> None:
    async with linked(pki) as parties:
        one, two, three = channels(parties, b"a" * 16)
        waiting = [asyncio.ensure_future(c.exchange({}, (0,))) for c in (two, three)]
        one.abort("NOT_FOUND", "no such subject")
        for future in waiting:
            with pytest.raises(SessionAborted) as caught:
                await future
            assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "no such subject")


async def abort__should_say_when_to_come_back(pki: Path) -> None:
    async with linked(pki) as parties:
        one, two, _ = channels(parties, b"b" * 16)
        waiting = asyncio.ensure_future(two.exchange({}, (0,)))
        one.abort("RESOURCE_EXHAUSTED", "too many attempts", 7.5)
        with pytest.raises(SessionAborted) as caught:
            await waiting
        assert fault_of(caught.value).retry_after == 7.5


@pytest.mark.parametrize(
    ("name", "claims", "code"),
    [
        ("party1", 1, StatusCode.ALREADY_EXISTS),
        ("party2", 1, StatusCode.ALREADY_EXISTS),
        ("party0", 1, StatusCode.PERMISSION_DENIED),
        ("gateway", 1, StatusCode.PERMISSION_DENIED),
        ("client", 2, StatusCode.PERMISSION_DENIED),
    ],
)
async def second_or_false_peer__should_be_refused(pki: Path, name: str, claims: int, code: StatusCode) -> None:
    async with linked(pki) as parties:
        async with tls(pki, name).channel(parties[0]._address, "party/0") as channel:
            hello = peer_pb2.Frame(hello=peer_pb2.Hello(party=claims))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await peer_pb2_grpc.PeerStub(channel).Exchange(iter([hello]), timeout=SECONDS).read()
        assert caught.value.code() is code
        assert all(party.links.up() for party in parties)


async def number_that_differs_from_the_certificate__should_be_refused(pki: Path) -> None:
    async with linked(pki) as parties:
        await parties[2].stop()
        await until(lambda: not parties[0].links.connected(2))
        async with tls(pki, "party2").channel(parties[0]._address, "party/0") as channel:
            hello = peer_pb2.Frame(hello=peer_pb2.Hello(party=1))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await peer_pb2_grpc.PeerStub(channel).Exchange(iter([hello]), timeout=SECONDS).read()
        assert caught.value.code() is StatusCode.INVALID_ARGUMENT
        assert not parties[0].links.connected(2)


async def session_keys__should_be_shared_pairwise_and_differ_between_sessions(pki: Path) -> None:
    async with linked(pki) as parties:
        first, second = (channels(parties, name * 16) for name in (b"1", b"2"))
        for i in range(3):
            assert first[i].keys.own == first[(i + 1) % 3].keys.previous
        assert len({key for c in first + second for key in (c.keys.own, c.keys.previous)}) == 6
        zeros = [Prss(c.keys, c.party).zero_sharing(M31, 50) for c in first]
        assert not reconstruct(M31, zeros).any()
        assert zeros[0].any()


async def mpycs_own_prss__should_work_on_our_keys(pki: Path) -> None:
    async with linked(pki) as parties:
        field = finfields.GF(M31.p)
        runtimes = [c._runtime for c in channels(parties, b"k" * 16)]
        shares = [thresha.pseudorandom_share(field, 3, i, rt.prfs(M31.p), b"uci", 4) for i, rt in enumerate(runtimes)]
        points = [(i + 1, share) for i, share in enumerate(shares)]
        secret = thresha.recombine(field, points)
        assert secret == thresha.recombine(field, points[:2])
        assert any(int(x) for x in secret)


async def mpycs_runtime__should_not_take_over_the_loop(pki: Path) -> None:
    loop = asyncio.get_running_loop()

    def handler(*_: object) -> None:
        """Ours."""

    loop.set_exception_handler(handler)
    async with linked(pki) as parties:
        channels(parties, b"h" * 16)
        assert loop.get_exception_handler() is handler


def import_of_the_party__should_leave_argv_alone() -> None:
    script = "import sys; sys.argv = ['x', '--help', '-M', '7']; import visard_party.__main__; print(sys.argv)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "['x', '--help', '-M', '7']\n"

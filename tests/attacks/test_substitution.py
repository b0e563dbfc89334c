"""Nobody but the caller can hand in shares under the caller's signature, choose who gets the answer, or make a write up.

A gateway that has turned holds a caller's signed request and its own certificate, and speaks to the real parties.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
from visard import opening
from visard.capture import capture
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.envelopes import NO_SHARES, SealedRequest, seal
from visard.uploads import pixels, shared
from visard_engine.describe import describe_plan
from visard_engine.field import M31
from visard_engine.kits import TAG_BYTES
from visard_engine.nn.program import Program
from visard_engine.prf import KEY_BYTES, Prf
from visard_wire.callers import Signer
from visard_wire.v1 import common_pb2

from tests.attacks.turned import SECONDS, TurnedGateway, image_shares
from tests.conftest import compiled_face
from tests.e2e import raw
from tests.mending import restarted
from tests.waiting import until

Operation = common_pb2.Operation
VICTIM = "victim"


class Nobody(Signer):
    """Signs nothing: the signature that is there stays."""

    def __init__(self) -> None:
        super().__init__((), None)  # type: ignore[arg-type]

    def sign(self, request: common_pb2.Request) -> None:
        return


async def own_shares(
    client: Client, signed: common_pb2.Request, shares: Sequence[bytes], *, named: bool
) -> SealedRequest:
    """Other shares, sealed by whoever knows the parties' keys under the very same request, with reply keys of its own.

    With ``named`` the request is changed to name them; without, the caller's signature stays good.
    """
    request = common_pb2.Request()
    request.CopyFrom(signed)
    sealed = seal(request, shares, await client._caller.party_keys(), Nobody())
    if not named:
        request.share_digests[:] = signed.share_digests
    return sealed


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("operation", [Operation.OPERATION_ENROL, Operation.OPERATION_VERIFY])
async def gateway__should_not_hand_in_another_face_under_a_callers_signature(
    client: Client, gateway: TurnedGateway, photos: dict[str, Path], operation: "Operation.ValueType", named: bool
) -> None:
    if operation == Operation.OPERATION_VERIFY:
        await client.enrol(VICTIM, [photos["obama"]])
    asked = client._caller.request(operation, VICTIM, images=1)
    honest = await client._caller.sealed(asked, await image_shares(client, photos["obama"]))
    forged = await own_shares(client, honest.request, await image_shares(client, photos["biden"]), named=named)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.hand_in([forged.request] * 3, forged)
    expected = grpc.StatusCode.PERMISSION_DENIED if named else grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.code() is expected, caught.value.details()
    # the victim's own upload is taken as if nothing had been, and it is the victim's face that is stored
    answers = await gateway.hand_in([honest.request] * 3, honest)
    opened = opening.open_all([a.result for a in answers], honest.context, honest.reply_keys)
    if operation == Operation.OPERATION_VERIFY:
        assert opening.match_bit(opened)
    else:
        assert [r.reference_id for r in await client.references(VICTIM)] == list(opening.reference_ids(opened))
        assert (await client.verify(VICTIM, photos["obama2"])).match
        assert not (await client.verify(VICTIM, photos["biden"])).match


async def gateway__should_not_publish_other_weights_under_the_owners_signature(
    cluster: Cluster, gateway: TurnedGateway
) -> None:
    compiled = compiled_face()
    program = compiled.program.to_json()
    async with Client(Connection.from_home(cluster.home, "owner"), model="other") as owner:
        digest = compiled.program.digest
        asked = owner._caller.request(Operation.OPERATION_PUBLISH, model="other", program_digest=digest)
        honest = await owner._caller.sealed(asked, shared([compiled.weights], compiled.program.q))
        zeros = shared([np.zeros_like(compiled.weights)], compiled.program.q)
        forged = await own_shares(owner, honest.request, zeros, named=False)
        with pytest.raises(grpc.aio.AioRpcError, match="the caller has signed"):
            await gateway.hand_in([honest.request] * 3, forged, program)
        assert [model.name for model in await owner.models.list()] == ["face"]


async def weights_off_the_line__should_not_be_published(cluster: Cluster, gateway: TurnedGateway) -> None:
    """Recovery would make other weights of them."""
    compiled = compiled_face()
    async with Client(Connection.from_home(cluster.home, "owner"), model="bent") as owner:
        shares = shared([compiled.weights], compiled.program.q)
        words = np.frombuffer(bytearray(shares[2]), "<u4")
        words[1000] = (int(words[1000]) + 1) % M31.p
        digest = compiled.program.digest
        asked = owner._caller.request(Operation.OPERATION_PUBLISH, model="bent", program_digest=digest)
        sealed = await owner._caller.sealed(asked, [shares[0], shares[1], words.tobytes()])
        with pytest.raises(grpc.aio.AioRpcError, match="points of a line"):
            await gateway.hand_in([sealed.request] * 3, sealed, compiled.program.to_json())
        assert [model.name for model in await owner.models.list()] == ["face"]


async def one_request_of_two_callers__should_be_refused(
    cluster: Cluster, client: Client, gateway: TurnedGateway, photos: dict[str, Path]
) -> None:
    asked = client._caller.request(Operation.OPERATION_COMPARE, images=2)
    info = await client.models.info()
    images = [pixels(capture(photos[name]), info) for name in ("obama", "biden")]
    sealed = await client._caller.sealed(asked, shared(images, info.field_bits))
    other = common_pb2.Request()
    other.CopyFrom(sealed.request)
    raw.signer(cluster, "owner").sign(other)
    with pytest.raises(grpc.aio.AioRpcError, match="signed by different callers") as caught:
        await gateway.hand_in([sealed.request, other, sealed.request], sealed)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def deletion__should_be_answered_for_the_caller_alone(
    client: Client, gateway: TurnedGateway, photos: dict[str, Path]
) -> None:
    """The keys of the answers cannot be exchanged either, and what was made is answered again under the same ones only."""
    await client.enrol(VICTIM, [photos["obama"]])
    honest = await client._caller.sealed(client._caller.request(Operation.OPERATION_DELETE, VICTIM), NO_SHARES)
    forged = await own_shares(client, honest.request, NO_SHARES, named=False)
    with pytest.raises(grpc.aio.AioRpcError, match="the caller has signed"):
        await gateway.run([honest.request] * 3, forged)
    for _ in range(2):
        answers = await gateway.run([honest.request] * 3, honest)
        opened = opening.open_all([a.result for a in answers], honest.context, honest.reply_keys)
        assert opening.changed(opened) == 1
        with pytest.raises(grpc.aio.AioRpcError, match="the caller has signed"):
            await gateway.run([honest.request] * 3, forged)


def orthogonal(factors: Sequence[Sequence[int]]) -> list[int]:
    """A vector over F_p, not zero, whose product with each of these is: one longer than they are many (Gauss)."""
    p, width = M31.p, len(factors) + 1
    rows, pivots = [[int(x) for x in row[:width]] for row in factors], list[int]()
    for k in range(len(rows)):
        at = next(j for j in range(width) if j not in pivots and rows[k][j] % p)
        inverse = pow(rows[k][at], -1, p)
        rows[k] = [x * inverse % p for x in rows[k]]
        rows = [
            row if i == k else [(x - row[at] * y) % p for x, y in zip(row, rows[k], strict=True)]
            for i, row in enumerate(rows)
        ]
        pivots.append(at)
    (free,) = set(range(width)) - set(pivots)
    found = [0] * width
    found[free] = 1
    for row, at in zip(rows, pivots, strict=True):
        found[at] = -row[free] % p
    return found


@pytest.fixture
def open_stock(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with a party that keeps all its kits on disk, where they can be read."""
    settings = cluster.home / "party0.toml"
    before = settings.read_text()
    try:
        settings.write_text("kit_memory_mb = 0\n" + before)
        restarted(cluster, "party0")
        yield cluster
    finally:
        settings.write_text(before)
        restarted(cluster, "party0")


async def client_that_a_party_tells_its_kits__should_not_pass_the_degree_test(
    open_stock: Cluster, client: Client, photos: dict[str, Path]
) -> None:
    """All that could be known before the upload: a deviation that no test with factors from any kit in stock would see."""
    program = compiled_face().program
    assert isinstance(program, Program)
    plan = describe_plan(program)
    kits = f"**/kits/{plan.digest.hex()}/*.kit"
    await until(lambda: any(open_stock.home.glob(kits)))
    files = list(open_stock.home.glob(kits))
    tags = [file.read_bytes()[: -plan.correction_bytes][-TAG_BYTES:] for file in files]
    seeds = {
        hashlib.blake2b(coin + tag, digest_size=KEY_BYTES, person=b"visard public").digest()
        for tag in tags
        for coin in (b"", bytes(32))  # what it would be without one
    }
    words = len((await image_shares(client, photos["obama"]))[0]) // 4
    factors = [Prf(seed).elements(1, words, M31).tolist() for seed in sorted(seeds)]
    deviation = orthogonal(factors)
    assert all(sum(a * b for a, b in zip(row, deviation, strict=False)) % M31.p == 0 for row in factors)
    shares = await image_shares(client, photos["obama"])
    bent = np.frombuffer(bytearray(shares[0]), "<u4")
    bent[: len(deviation)] = (bent[: len(deviation)].astype(np.uint64) + np.array(deviation, np.uint64)) % M31.p
    asked = client._caller.request(Operation.OPERATION_ENROL, VICTIM, images=1)
    sealed = await client._caller.sealed(asked, [bent.tobytes(), *shares[1:]])
    with pytest.raises(grpc.aio.AioRpcError, match="points of a line"):
        await client._caller.matching.Enrol(sealed.upload(), timeout=SECONDS)
    assert VICTIM not in {row.subject for row in await client.subjects()}

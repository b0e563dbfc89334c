"""Every kind of bad input gets a clear status that names the field, at once; nothing is stored, and nothing hangs."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import DeadlineExceeded, Exhausted, NotAnImage
from visard_wire.v1 import (
    common_pb2,
    dealer_pb2,
    dealer_pb2_grpc,
    gateway_pb2,
    gateway_pb2_grpc,
    party_pb2,
    party_pb2_grpc,
    peer_pb2,
    peer_pb2_grpc,
)

from tests.e2e import raw
from tests.waiting import at_rest, until

Uploads = list[common_pb2.Upload]
Made = Callable[..., raw.RawUpload]
SECONDS = 60.0


@pytest.fixture
async def stub(cluster: Cluster) -> AsyncIterator["gateway_pb2_grpc.FaceMatchingAsyncStub"]:
    async with raw.channel(cluster, cluster.address("gateway"), "client") as channel:
        yield gateway_pb2_grpc.FaceMatchingStub(channel)


@pytest.fixture
async def made(cluster: Cluster, stub: "gateway_pb2_grpc.FaceMatchingAsyncStub") -> Made:
    """Makes valid uploads, to be spoilt."""
    return partial(raw.RawUpload, await raw.party_keys(stub), raw.signer(cluster))


async def refused(call: Callable[[], object], code: StatusCode, field: str = "") -> grpc.aio.AioRpcError:
    """The error of a call that must fail with a code and, if given, name a field in its details."""
    started = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call()  # type: ignore[misc]
    assert time.monotonic() - started < SECONDS
    error = caught.value
    assert (error.code(), error.details()) == (code, error.details())
    if field:
        fields = [v.field for d in details(error, error_details_pb2.BadRequest()) for v in d.field_violations]
        assert field in fields, error.details()
    return error


def details(error: grpc.aio.AioRpcError, kind: error_details_pb2.BadRequest) -> list[error_details_pb2.BadRequest]:
    found = []
    for key, value in raw.trailers(error):
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                message = type(kind)()
                if detail.Unpack(message):
                    found.append(message)
    return found


def without_last(messages: Uploads) -> Uploads:
    return messages[:-1]


def swapped(messages: Uploads) -> Uploads:
    return [messages[0], messages[2], messages[1], *messages[3:]]


def repeated_header(messages: Uploads) -> Uploads:
    return [messages[0], messages[0], *messages[1:]]


def without_header(messages: Uploads) -> Uploads:
    return messages[1:]


def flipped_bit(messages: Uploads) -> Uploads:
    chunk = messages[1].chunk
    chunk.data = chunk.data[:-1] + bytes([chunk.data[-1] ^ 1])
    return messages


def unknown_key(messages: Uploads) -> Uploads:
    messages[0].header.shares[1].key_id = bytes(8)
    return messages


def announced_short(messages: Uploads) -> Uploads:
    messages[0].header.shares[0].size -= 1
    return messages


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (without_last, "chunk.last"),
        (swapped, "chunk.index"),
        (repeated_header, "header"),
        (without_header, "header"),
        (flipped_bit, "share"),
        (unknown_key, "header.shares.key_id"),
        (announced_short, "chunk.data"),
    ],
)
async def spoilt_upload__should_be_refused(
    stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made, spoil: Callable[[Uploads], Uploads], field: str
) -> None:
    messages = spoil(made().messages())
    await refused(lambda: stub.Compare(raw.stream(messages), timeout=SECONDS), StatusCode.INVALID_ARGUMENT, field)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"request_id": b"short"}, StatusCode.INVALID_ARGUMENT, "request.request_id"),
        ({"subject": "somebody"}, StatusCode.INVALID_ARGUMENT, "request.subject"),
        ({"images": 3}, StatusCode.INVALID_ARGUMENT, "request.images"),
        ({"model": "No Such"}, StatusCode.INVALID_ARGUMENT, "request.model"),
        ({"model": "nosuch"}, StatusCode.NOT_FOUND, ""),
        ({"operating_point": "lax"}, StatusCode.INVALID_ARGUMENT, "request.operating_point"),
        ({"expires_unix_ms": 1}, StatusCode.INVALID_ARGUMENT, "request.expires_unix_ms"),
        ({"expires_unix_ms": 1 << 60}, StatusCode.INVALID_ARGUMENT, "request.expires_unix_ms"),
        ({"operation": 2}, StatusCode.INVALID_ARGUMENT, "request.operation"),
    ],
)
async def bad_field__should_be_named(
    stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made, change: dict[str, object], code: StatusCode, field: str
) -> None:
    upload = made(raw.request(**change))
    await refused(lambda: stub.Compare(raw.stream(upload.messages()), timeout=SECONDS), code, field)


async def share_off_the_line__should_be_refused(stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made) -> None:
    upload = made()
    upload.shares[1] = np.eye(1, raw.WORDS, dtype="<u4").tobytes()
    call = lambda: stub.Compare(raw.stream(upload.messages()), timeout=SECONDS)  # noqa: E731
    error = await refused(call, StatusCode.INVALID_ARGUMENT, "share")
    assert "line" in (error.details() or "")


async def pixels_outside_their_range__should_neither_match_nor_be_enrolled(
    cluster: Cluster, stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made
) -> None:
    """Such an image would match about every second person, were it not for the norm bound.

    By chance one's descriptor is short, and then is as good as another (tests/engine/test_describe.py): of some one is refused.
    """
    asked = common_pb2.Operation.OPERATION_ENROL

    def comparison(pixels: bytes) -> object:
        return stub.Compare(raw.stream(made(shares=[pixels] * 3).messages()), timeout=SECONDS)

    def enrolment(pixels: bytes) -> object:
        request = raw.request(operation=asked, subject="nobody", images=1)
        upload = made(request, shares=[pixels[: len(pixels) // 2]] * 3)
        return stub.Enrol(raw.stream(upload.messages()), timeout=SECONDS)

    async with Client(Connection.from_home(cluster.home)) as client:
        for call in (comparison, enrolment):
            error = await first_refusal(call)
            assert error.code() is StatusCode.INVALID_ARGUMENT
            assert "0 to 255" in (error.details() or "")
        if "nobody" in {row.subject for row in await client.subjects()}:
            await client.delete("nobody")


async def first_refusal(call: Callable[[bytes], object]) -> grpc.aio.AioRpcError:
    """Of images of pixels from all of the field, tried one after the other; fails where none of eight is refused."""
    for seed in range(8):
        pixels = np.random.default_rng(seed).integers(0, (1 << 31) - 1, raw.WORDS).astype("<u4")
        try:
            await call(pixels.tobytes())  # type: ignore[misc]
        except grpc.aio.AioRpcError as error:
            return error
    raise AssertionError("none was refused")


async def share_of_the_wrong_length__should_be_refused(
    stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made
) -> None:
    upload = made()
    upload.shares[2] = upload.shares[2][:-4]
    call = lambda: stub.Compare(raw.stream(upload.messages()), timeout=SECONDS)  # noqa: E731
    await refused(call, StatusCode.INVALID_ARGUMENT, "header.shares.size")


async def share_with_a_word_not_below_p__should_be_refused(
    stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made
) -> None:
    upload = made()
    words = np.zeros(raw.WORDS, "<u4")
    words[-1] = (1 << 31) - 1
    upload.shares[1] = words.tobytes()
    error = await refused(
        lambda: stub.Compare(raw.stream(upload.messages()), timeout=SECONDS), StatusCode.INVALID_ARGUMENT
    )
    assert "share" in (error.details() or "")


async def share_sealed_for_another_request__should_be_refused(
    stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made
) -> None:
    upload = made(sealed_for=raw.request())
    call = lambda: stub.Compare(raw.stream(upload.messages()), timeout=SECONDS)  # noqa: E731
    await refused(call, StatusCode.INVALID_ARGUMENT, "share")


async def replayed_request__should_be_refused(stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made) -> None:
    messages = made().messages()
    await stub.Compare(raw.stream(messages), timeout=SECONDS)
    await refused(lambda: stub.Compare(raw.stream(messages), timeout=SECONDS), StatusCode.ALREADY_EXISTS)


async def unknown_subject__should_be_not_found(stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made) -> None:
    request = raw.request(operation=2, subject="nobody", images=1)
    upload = made(request)
    upload.shares = [share[: len(share) // 2] for share in upload.shares]
    error = await refused(lambda: stub.Verify(raw.stream(upload.messages()), timeout=SECONDS), StatusCode.NOT_FOUND)
    assert "nobody" in (error.details() or "")


async def short_deadline__should_end_in_time_and_leave_nothing_running(
    cluster: Cluster, stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made
) -> None:
    upload = made()
    await refused(lambda: stub.Compare(raw.stream(upload.messages()), timeout=0.2), StatusCode.DEADLINE_EXCEEDED)

    async def nothing_runs() -> bool:
        status = await stub.GetStatus(gateway_pb2.GetStatusRequest(), timeout=SECONDS)
        return [party.runs_active for party in status.parties] == [0, 0, 0]

    await until(nothing_runs)


async def stalled_upload__should_be_ended_by_its_deadline(
    stub: "gateway_pb2_grpc.FaceMatchingAsyncStub", made: Made
) -> None:
    messages = made().messages()

    async def stalls() -> AsyncIterator[common_pb2.Upload]:
        yield messages[0]
        await asyncio.sleep(2 * SECONDS)

    await refused(lambda: stub.Compare(stalls(), timeout=1), StatusCode.DEADLINE_EXCEEDED)


async def file_that_is_no_image__should_not_be_sent(cluster: Cluster) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        with pytest.raises(NotAnImage):
            await client.enrol("text", ["pyproject.toml"])


async def client_deadline__should_be_an_error_of_ours(cluster: Cluster, photos: dict[str, object]) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        await client.status()
        await client._caller.party_keys()
        client.deadline = 0.15
        with pytest.raises((DeadlineExceeded, Exhausted)):
            await client.compare(photos["obama"], photos["biden"])  # type: ignore[arg-type]


async def wrong_role__should_be_denied_everywhere(cluster: Cluster) -> None:
    denied = StatusCode.PERMISSION_DENIED
    async with raw.channel(cluster, cluster.address("gateway"), "client") as channel:
        registry = gateway_pb2_grpc.ModelRegistryStub(channel)
        await refused(lambda: registry.Publish(raw.stream([]), timeout=SECONDS), denied)
    async with raw.channel(cluster, cluster.address("gateway"), "party0") as channel:
        matching = gateway_pb2_grpc.FaceMatchingStub(channel)
        await refused(lambda: matching.GetStatus(gateway_pb2.GetStatusRequest(), timeout=SECONDS), denied)
    async with raw.channel(cluster, cluster.address("party0"), "client") as channel:
        party = party_pb2_grpc.PartyStub(channel)
        await refused(lambda: party.Run(party_pb2.RunRequest(request=raw.request()), timeout=SECONDS), denied)
        await refused(lambda: party.Deposit(raw.stream([]), timeout=SECONDS), denied)
        peer = peer_pb2_grpc.PeerStub(channel)
        hello = peer_pb2.Frame(hello=peer_pb2.Hello(party=1))
        await refused(lambda: peer.Exchange(iter([hello]), timeout=SECONDS).read(), denied)
    async with raw.channel(cluster, cluster.address("dealer"), "gateway") as channel:
        dealer = dealer_pb2_grpc.DealerStub(channel)
        fetch = dealer_pb2.FetchRequest(plan=b"{}", first=1, count=1)
        await refused(lambda: dealer.Fetch(fetch, timeout=SECONDS).read(), denied)


async def second_stream_of_a_live_peer__should_be_refused(cluster: Cluster) -> None:
    async with raw.channel(cluster, cluster.address("party0"), "party1") as channel:
        peer = peer_pb2_grpc.PeerStub(channel)
        hello = peer_pb2.Frame(hello=peer_pb2.Hello(party=1))
        await refused(lambda: peer.Exchange(iter([hello]), timeout=SECONDS).read(), StatusCode.ALREADY_EXISTS)
    async with Client(Connection.from_home(cluster.home)) as client:
        assert (await client.status()).ready


async def until_refused(client: Client, first: object, second: object) -> None:
    for _ in range(10):
        await client.compare(first, second)  # type: ignore[arg-type]


async def empty_stock__should_be_exhausted_with_retry_info_then_recover(
    cluster: Cluster, photos: dict[str, object]
) -> None:
    pair = photos["obama"], photos["obama2"]
    async with Client(Connection.from_home(cluster.home), retry=False) as client:
        await at_rest(client)
        assert (await client.compare(*pair)).match  # type: ignore[arg-type]
        cluster.kill("dealer")
        try:
            with pytest.raises(Exhausted) as caught:
                await until_refused(client, *pair)
            assert caught.value.retry_after > 0
            assert "kit" in str(caught.value)
        finally:
            cluster.start(["dealer"])
    async with Client(Connection.from_home(cluster.home)) as client:
        assert (await client.compare(*pair)).match  # type: ignore[arg-type]

"""The client sends what it was given, readable by one party each, and believes only what its authority vouches for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from visard import certs
from visard.capture import Chip
from visard.client import Client, Connection
from visard.errors import (
    DeadlineExceeded,
    InconsistentAnswer,
    InvalidRequest,
    NoFace,
    NotFound,
    NotOpen,
    SealError,
    Unavailable,
    Unreachable,
    UntrustedKey,
)
from visard.results import SubjectCount
from visard_common import errors as faults
from visard_wire.cells import Label
from visard_wire.v1 import common_pb2, gateway_pb2

from tests import cells
from tests.cells import label
from tests.client.double import ROOM, SEED, Double, Outcomes, chip, connected, serving

Operation = common_pb2.Operation


def flat(*chips: Chip) -> np.ndarray:
    """Chips as the network takes them: channels first, one after another."""
    return np.concatenate([c.pixels.transpose(2, 0, 1).reshape(-1) for c in chips]).astype(np.int64)


async def enrolment__should_send_the_images_as_shares_and_return_the_references(folder: Path) -> None:
    async with connected(folder) as (double, client):
        enrolment = await client.enrol("ann", [chip(1), chip(2)])
    [received] = double.received
    assert np.array_equal(received.secret, flat(chip(1), chip(2)))
    request = received.request
    assert (request.operation, request.subject, request.model) == (Operation.OPERATION_ENROL, "ann", "face")
    assert (request.images, len(request.request_id)) == (2, 16)
    assert received.largest_chunk == 64 << 10
    assert enrolment.references == ("ref0", "ref1")


@pytest.mark.parametrize("match", [True, False])
async def decision__should_be_the_parties_bit(folder: Path, match: bool) -> None:
    async with connected(folder) as (double, client):
        double.bits = [match]
        verification = await client.verify("ann", chip(1), operating_point="strict")
        comparison = await client.compare(chip(1), chip(2))
    assert (verification.match, comparison.match) == (match, match)
    assert verification.report.rounds == 7
    verified, compared = double.received
    assert (verified.request.operating_point, verified.request.images) == ("strict", 1)
    assert (compared.request.subject, compared.request.images) == ("", 2)
    assert np.array_equal(compared.secret, flat(chip(1), chip(2)))


async def nearest__should_name_the_row(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.table, double.bits = ["ann", "bob", "cid"], [True, False, True]
        assert (await client.identify(chip(1), nearest=True)).subject == "cid"
        double.bits = [False, False, False]
        assert (await client.identify(chip(1), nearest=True)).subject is None
    assert [received.request.nearest for received in double.received] == [True, True]


async def identification__should_name_all_that_are_near_enough(folder: Path) -> None:
    ann, ben, other = label(1, "ann"), label(2, "ben"), label(3, "ann")
    async with connected(folder) as (double, client):
        nobody = await client.identify(chip(1))
        assert (nobody.subject, nobody.candidates, nobody.more) == (None, (), False)
        double.found = [[ann, ben, other], [ann]]
        found = await client.identify(chip(1))
        assert (found.subject, found.more) == ("ann", False)
        assert [(one.subject, one.operating_point) for one in found.candidates] == [
            *(("ann", "FMR_1E5"), ("ann", "FMR_1E4"), ("ben", "FMR_1E4")),
        ]
        assert found.candidates[0].reference_id == ann.reference_id
        double.found = [[ann, ben], []]
        assert (await client.identify(chip(1))).subject is None, "two people, and neither is nearer than the other"
        double.found = [[label(k, "ann") for k in range(20)], []]
        found = await client.identify(chip(1))
        assert (found.subject, len(found.candidates), found.more) == ("ann", 20, False), (
            "of one person as many as there are"
        )
        double.found = [[ann, other], []]
        assert (await client.identify(chip(1))).subject == "ann"


async def several_photos__should_be_answered_each_by_its_own_tables(folder: Path) -> None:
    ann, ben = label(1, "ann"), label(2, "ben")
    async with connected(folder) as (double, client):
        theirs: list[list[list[Label]]] = [[[ann], []], [[], []], [[ben], [ben]]]
        tables = [cells.tables(found, SEED, ROOM) for found in theirs]

        def answers(outcomes: Outcomes) -> None:
            for outcome in outcomes:  # in the clear: one piece of three, which two parties hold
                outcome.bits = 8 * len(b"".join(tables))
                outcome.piece_own = outcome.piece_previous = bytes(outcome.bits // 8)
            outcomes[0].piece_own = outcomes[1].piece_previous = b"".join(tables)

        double.spoil = answers
        found = await client.identify_each([chip(1), chip(2), chip(3)])
        assert [one.subject for one in found] == ["ann", None, "ben"]
        assert [len(one.candidates) for one in found] == [1, 0, 1]
        with pytest.raises(InconsistentAnswer, match="no table"):
            await client.identify_each([chip(1), chip(2)])
        assert [received.request.images for received in double.received] == [3, 2]
        wrong: list[Any] = [[], "photo.jpg"]
        for photos in wrong:
            with pytest.raises(InvalidRequest, match="photos"):
                await client.identify_each(photos)


@pytest.mark.parametrize("count", [9, 40, 500])
async def more_than_eight__should_be_told_and_the_stricter_ones_named(folder: Path, count: int) -> None:
    many = [label(k) for k in range(count)]
    async with connected(folder) as (double, client):
        double.found = [many, many[:2]]
        found = await client.identify(chip(1))
        assert found.more
        assert {one.subject for one in found.candidates} == {one.subject for one in many[:2]}
        assert {one.operating_point for one in found.candidates} == {"FMR_1E5"}
        double.found = [many, many]
        found = await client.identify(chip(1))
        assert (found.subject, found.candidates, found.more) == (None, (), True)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("cell_seed", bytes(16), "different"),
        ("room", 56, "different"),
        ("points", ["FMR_1E4"], "different points"),
        ("points", [], "different points"),
    ],
)
async def parties_that_disagree_about_the_tables__should_be_no_answer(
    folder: Path, field: str, value: Any, reason: str
) -> None:
    def spoil(outcomes: list[common_pb2.Outcome]) -> None:
        outcomes[1].ClearField(field)  # type: ignore[arg-type]
        outcomes[1].MergeFrom(common_pb2.Outcome(**{field: value}))

    async with connected(folder) as (double, client):
        double.spoil = spoil
        with pytest.raises(InconsistentAnswer, match=reason):
            await client.identify(chip(1))


async def share__should_never_be_sent_twice(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.faults = [faults.Unavailable("lost a peer")]
        await client.verify("ann", chip(1))
        await client.verify("ann", chip(1))
    assert len(double.received) == 3
    assert len({r.request.request_id for r in double.received}) == 3
    assert len({key for r in double.received for key in r.reply_keys}) == 9
    assert len({share.tobytes() for r in double.received for share in r.shares}) == 9


async def photo_without_a_face__should_not_be_sent(folder: Path) -> None:
    async with connected(folder) as (double, client):
        with pytest.raises(NoFace):
            await client.enrol("ann", [chip(1), np.full((200, 200, 3), 128, np.uint8)])
    assert not double.calls


async def chip__should_be_sent_in_the_models_size(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.info.input_shape[:] = [1, 112, 92]
        await client.verify("ann", chip(1))
    (received,) = double.received
    assert [share.size for share in received.shares] == [112 * 92] * 3


async def chip_that_is_not_known__should_be_named_and_nothing_sent(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.info.chip = "hologram"
        for ask in (client.enrol("ann", [chip(1)]), client.verify("ann", chip(1)), client.compare(chip(1), chip(2))):
            with pytest.raises(InvalidRequest, match="chip 'hologram' is not known to this client, which cuts arcface"):
                await ask
        with pytest.raises(InvalidRequest, match="'hologram'"):
            await client.run(chip(1).pixels)
    assert not double.received


async def chip__should_not_be_sent_when_the_model_takes_no_picture_of_its_kind(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.info.input_shape[:] = [4, 150, 150]
        with pytest.raises(InvalidRequest, match="4"):
            await client.verify("ann", chip(1))
        with pytest.raises(NotFound, match="other"):
            await Client.verify(_of_model(client, "other"), "ann", chip(1))
    assert not double.received


def _of_model(client: Client, name: str) -> Client:
    client.model = name
    return client


def doubled(double: Double) -> None:
    double.signed[1].CopyFrom(double.signed[0])


def renumbered(double: Double) -> None:
    """Party 0's key, signed for party 0, offered as party 1's."""
    doubled(double)
    double.signed[1].party = 1


def replaced(double: Double) -> None:
    double.signed[2].public_key = double.signed[2].public_key[::-1]


def missing(double: Double) -> None:
    double.signed.pop()


@pytest.mark.parametrize("change", [doubled, renumbered, replaced, missing])
async def key__should_not_be_used_unless_our_authority_signed_it(
    folder: Path, change: Callable[[Double], None]
) -> None:
    async with connected(folder) as (double, client):
        change(double)
        for _ in range(2):  # and what was refused once is not remembered as good
            with pytest.raises(UntrustedKey):
                await client.verify("ann", chip(1))
    assert not double.received


async def keys_and_models__should_be_fetched_once(folder: Path) -> None:
    async with connected(folder) as (double, client):
        for _ in range(3):
            await client.verify("ann", chip(1))
    assert (double.calls["GetParties"], double.calls["ListModels"], double.calls["Verify"]) == (1, 1, 3)


def flip(outcome: common_pb2.Outcome) -> None:
    """One party says the opposite of what its neighbour holds for it."""
    outcome.piece_own = bytes(byte ^ 1 for byte in outcome.piece_own)


async def answer__should_not_be_believed_when_parties_contradict_each_other(folder: Path) -> None:
    async with connected(folder) as (double, client):
        for party in range(3):
            double.spoil = lambda outcomes, i=party: flip(outcomes[i])  # type: ignore[misc]
            with pytest.raises(InconsistentAnswer):
                await client.verify("ann", chip(1))


async def answer__should_not_be_believed_when_it_answers_another_request(folder: Path) -> None:
    async with connected(folder) as (double, client):
        kept: list[Any] = []
        double.tamper = lambda result: kept.append([s.SerializeToString() for s in result.results])
        await client.verify("ann", chip(1))
        double.tamper = lambda result: [s.ParseFromString(old) for s, old in zip(result.results, kept[0], strict=True)]
        with pytest.raises(SealError):
            await client.verify("ann", chip(1))


async def proxy_of_the_environment__should_not_be_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with connected(folder) as (_double, client):
        assert (await client.verify("ann", chip(1))).match
    async with serving(folder) as (_, connection), Client(replace(connection, proxy=True), deadline=600) as client:
        with pytest.raises(Unreachable):
            await client.status()


async def client_that_is_not_open__should_say_so(folder: Path) -> None:
    async with serving(folder) as (_, connection):
        client = Client(connection)
        with pytest.raises(NotOpen, match="async with"):
            await client.verify("ann", chip(1))
        async with client:
            assert (await client.verify("ann", chip(1))).match
        with pytest.raises(NotOpen):
            await client.verify("ann", chip(1))


async def options_of_an_enrolment__should_reach_the_parties(folder: Path) -> None:
    async with connected(folder) as (double, client):
        await client.enrol("ann", [chip(1)], replace=True, unique=True, ttl_seconds=9, metadata=b"note")
        request = double.received[-1].request
        assert (request.replace, request.unique, request.ttl_seconds, request.metadata) == (True, True, 9, b"note")


async def subjects__should_be_gathered_from_all_pages(folder: Path) -> None:
    async with connected(folder) as (double, client):
        found = await client.subjects()
    assert found == [SubjectCount("ann", 1), SubjectCount("bob", 2), SubjectCount("cid", 3)]
    assert double.calls["ListSubjects"] == 3


async def deletion__should_name_the_subject(folder: Path) -> None:
    async with connected(folder) as (double, client):
        assert await client.delete("ann") == 3
    request = double.received[0].request
    assert (request.operation, request.subject) == (Operation.OPERATION_DELETE, "ann")


async def write_that_a_gateway_makes_up__should_not_be_believed(folder: Path) -> None:
    """What counts is what the three parties have sealed for this caller and this request."""
    async with connected(folder) as (double, client):
        kept: list[gateway_pb2.DeleteResponse] = []
        double.tamper = kept.append
        await client.delete("ann")
        double.tamper = lambda response: response.ClearField("results")
        with pytest.raises(InconsistentAnswer):
            await client.delete("ann")
        double.tamper = lambda response: response.CopyFrom(kept[0])
        with pytest.raises(SealError):
            await client.delete("ann")
        double.tamper = lambda response: None
        double.spoil = lambda outcomes: setattr(outcomes[1], "references_changed", 4)
        with pytest.raises(InconsistentAnswer):
            await client.delete("ann")
        double.spoil = lambda outcomes: setattr(outcomes[1], "program_digest", bytes(32))
        with pytest.raises(InconsistentAnswer):
            await client.models.publish("face", b"{}", b"d" * 32, np.arange(10), 31)


async def publication__should_send_the_weights_as_shares_and_bind_the_program(folder: Path) -> None:
    weights = np.array([0, 1, -1, 2**29, -(2**29)] * 20_000, np.int64)
    async with connected(folder) as (double, client):
        await client.models.publish("face", b"{}", bytes(range(32)), weights, 31)
    [received] = double.received
    assert np.array_equal(received.secret, weights)
    assert (received.program, received.request.program_digest) == (b"{}", bytes(range(32)))


async def stranger__should_get_no_connection(folder: Path, tmp_path: Path) -> None:
    certs.init(tmp_path / "other")
    async with serving(folder) as (double, connection):
        other = tmp_path / "other"
        for ca, pair in ((other, folder), (folder, other)):
            ours = Connection(connection.gateway, ca / "ca.pem", pair / "client.pem", pair / "client.key")
            async with Client(ours, deadline=1.0) as client:
                with pytest.raises((Unavailable, DeadlineExceeded)):
                    await client.status()
    assert not double.calls
